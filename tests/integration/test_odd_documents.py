"""Documents with any value in any place: each job ends, and only its own request is concerned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.config import Config
from connect_worker.domain.states import PollProblem, RequestKey, RequestKind, State
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.poller import poll
from connect_worker.exceptions import FailRequest, InquireRequest, SkipRequest
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse
from connect_worker.resources.processor import AutomationProcessor
from connect_worker.resources.runner import local_runtime
from tests.support.engine_harness import automation
from tests.support.scripted_server import KEY, Call, Reply, Server, serving

PRODUCT = {"id": "PRD-1"}
PARAMS = [
    {"id": "email", "type": "text", "value": "a@example.com"},
    {"id": "pw", "type": "password", "value": "a secret"},
]
AT = {"at": "2026-11-30T10:00:00+00:00"}
DOCUMENTS: dict[RequestKind, dict[str, Any]] = {
    RequestKind.FULFILLMENT: {
        "id": "PR-1",
        "type": "purchase",
        "status": "pending",
        "updated": AT["at"],
        "asset": {"id": "AS-1", "product": PRODUCT, "items": [{"quantity": "5"}], "params": PARAMS},
    },
    RequestKind.TIER_CONFIG: {
        "id": "TCR-1",
        "status": "pending",
        "events": {"pended": AT},
        "params": PARAMS,
        "configuration": {"id": "TC-1", "product": PRODUCT},
    },
}
ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 10**30, 1e400, float("nan")),
    *("", "x" * 5_000, "\ud800", "\0", "a\nb", "PR-2", "approved"),
    *([], {}, [[]], [None], {"id": None}, {"a": {"b": [1]}}),
]


def paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for name, item in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, name)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*path, name))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = place = json.loads(json.dumps(document))
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed


PLACES = [(kind, path) for kind, document in DOCUMENTS.items() for path in paths(document)]


def echo(self: Any, request: Any) -> ActivationTileResponse:
    """Decide with what the request has, as careless code does."""
    text = str(request.json)
    params = list(getattr(getattr(request, "asset", request), "params", None) or [])
    match len(text) % 5:
        case 0:
            raise FailRequest(text)
        case 1:
            raise InquireRequest(text, params=params)
        case 2:
            raise SkipRequest(text)
        case 3:
            raise ValueError(text)
    return ActivationTileResponse(text)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Reply(body=[])) as server:
        yield server


@given(st.sampled_from(PLACES), st.sampled_from(ODD_VALUES))
@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_odd_value_concerns_its_own_request_alone(
    server: Server, place: tuple[RequestKind, tuple[Any, ...]], value: Any
) -> None:
    kind, path = place
    document = with_value(DOCUMENTS[kind], path, value)
    ref = RequestKey(kind, DOCUMENTS[kind]["id"])
    neighbor = DOCUMENTS[kind] | {"id": f"{ref.id}-0"}

    def play(call: Call) -> Reply:
        if call.method != "GET":
            return Reply(body={})
        if call.path.endswith(("/requests", "/config-requests")):
            return Reply(body=[document, neighbor])
        return Reply(body=document if call.path.endswith(f"/{ref.id}") else [])

    server.play = play
    config = Config.local(server.url, KEY)
    cls = automation(echo, kind)
    processor = AutomationProcessor(kind, lambda: cls(config), config)
    ledger = MemoryLedger()
    runtime = local_runtime(processor, name="echo", connect=server.client(), ledger=ledger)

    assert poll(runtime, kind).problem in (PollProblem.NONE, PollProblem.ROWS_REJECTED)
    assert ledger.get_record(RequestKey(kind, neighbor["id"])) is not None
    record = ledger.get_record(ref)
    if record is None:
        assert path in (("id",), ("status",))
        return
    result = run_job(runtime, ref)
    record = ledger.get_record(ref)
    assert record is not None
    assert not ledger.breaker().failures
    assert record.state in (State.COMPLETED, State.PARKED, State.SNOOZED, State.RETRY), result
    # What is wrong is found before a model or a script trips over it.
    assert not record.error.startswith(("UnicodeEncodeError", "RecursionError", "KeyError"))
