"""Each call that the code makes to Connect is in the description of its API, or has a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.domain.api_calls import FILE_ACTIONS, StatusChange, build_api_calls
from connect_worker.domain.kinds import KINDS
from connect_worker.domain.outcomes import Approve, Fail, FileAction, Inquire, Outcome
from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.resources.directory import BaseResource
from connect_worker.webhook.subscriptions import PATH as WEBHOOKS
from tests.support.openapi_contract import is_described

ROOT = Path(__file__).parents[2]
#: It answers, and calls nothing.
SANDBOX = ROOT / "connect_worker/sandbox"

#: What makes calls: the client, the engine's port, and an automation. None where the first argument
#: has the method.
METHODS = {
    **dict.fromkeys(("get", "get_all", "get_list", "get_text"), "GET"),
    **dict.fromkeys(("post", "upload"), "POST"),
    **dict.fromkeys(("put",), "PUT"),
    **dict.fromkeys(("send", "request", "_change")),
}
#: `self.client.get`, `runtime.connect.send`, `client_for(config).get_all`, …
CALL = re.compile(rf"(?:.*\.)?_?(?:client|connect)(?:_for\(.*\))?\.({'|'.join(METHODS)})")
#: What automations call; the name has other meanings elsewhere.
CHANGE = "self._change"

LISTS = [f"GET {facts.path}" for facts in KINDS.values()]
ONE_OF_A_LIST = [f"{operation}/PR-1" for operation in LISTS]
OF_THE_DIRECTORY = ("assets", "marketplaces", "products", "tier/accounts", "tier/configs")
RESOURCES = [found.resource for found in BaseResource.__subclasses__() if found.resource]

#: The calls whose path is made elsewhere, and what they ask for. Those that pass on what another
#: call here or a decision says ask for nothing by themselves.
PATHS_FROM_ELSEWHERE: dict[str, list[str]] = {
    "api/responses.py: connect.get(path)": ["GET conversations/CO-1"],
    "api/responses.py: connect.get_all(f'{path}/messages')": ["GET conversations/CO-1/messages"],
    "cli/doctor.py: client.get(path)": LISTS,
    "cli/dry_run.py: client_for(config).get(path_of(kind, request_id))": ONE_OF_A_LIST,
    "dry_run/requests.py: client.get_all(facts.path)": LISTS,
    "engine/poller.py: self._connect.get(path)": [],
    "engine/poller.py: self._connect.get_all(path)": [],
    "engine/poller.py: self._connect.send(method, path)": [],
    "engine/poster.py: runtime.connect.send(step.method, step.path)": [],
    "engine/runtime.py: self.connect.get(path_of(ref.kind, ref.request_id))": ONE_OF_A_LIST,
    "models/products.py: client_for(config).get_list(path)": ["GET products/PRD-1/configurations"],
    "resources/automation.py: self.client.get(self._path_of(pk, 'get'))": ONE_OF_A_LIST,
    "resources/automation.py: self.client.send(method, path)": [],
    "resources/fulfillment.py: self._change('PUT', self._path_of(pk, 'update_parameters'))": [
        "PUT requests/PR-1"
    ],
    "resources/tier_config.py: self._change('PUT', self._path_of(pk, 'update_parameters'))": [
        "PUT tier/config-requests/TCR-1"
    ],
    "resources/automation.py: self._change('POST', f'{self._path_of(pk, action)}/{action}')": [
        f"POST {path}/X-1/{action}"
        for path in ("requests", "tier/config-requests")
        for action in ("approve", "inquire", "fail")
    ],
    "resources/directory.py: client_for(self.config).get_list(path)": [
        f"GET {path}" for path in OF_THE_DIRECTORY
    ],
    "resources/directory.py: client_for(self.config).get_list(self._api.base_path)": [
        f"GET {path}" for path in RESOURCES
    ],
    # The later SDK's collections: `test_collections.py` checks each method that has a path of its
    # own. Each collection has all of `create`, `update` and so on, where Connect may refuse some.
    "resources/directory.py: client_for(self.config).request('GET', self._path(path))": [],
    "resources/directory.py: client_for(self.config).request(method, self._path(path))": [],
    "resources/directory.py: self._change('DELETE', path)": [],
    "resources/directory.py: self._change('POST', path)": [],
    "resources/directory.py: self._change('PUT', path)": [],
    "resources/directory.py: client_for(self.config).get_all(path)": [
        "GET products/PRD-1/parameters",
        "GET products/PRD-1/templates",
    ],
    "resources/directory.py: client_for(self.config).get_text(path)": ["GET templates/TL-1/render"],
    "resources/directory.py: client_for(self.config).get(f\"{path}/{quote(pk, safe='')}\")": [
        f"GET {path}/X-1" for path in OF_THE_DIRECTORY
    ],
    "resources/processor.py: connect.get_all(facts.path)": LISTS,
    "resources/usage.py: self.client.get(path)": ["GET usage/products/PRD-1/template"],
    "webhook/subscriptions.py: self._client.get_all(PATH)": [f"GET {WEBHOOKS}"],
    "webhook/subscriptions.py: self._client.send('POST', PATH)": [f"POST {WEBHOOKS}"],
    "webhook/subscriptions.py: self._client.send('PUT', f'{PATH}/{change.id}')": [
        f"PUT {WEBHOOKS}/WH-1"
    ],
    "webhook/subscriptions.py: self._client.send('DELETE', f'{PATH}/{hook_id}')": [
        f"DELETE {WEBHOOKS}/WH-1"
    ],
}


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Each call to Connect in the code: its file, the call, and the name of the method."""
    for top in ("connect_worker", "tasks"):
        for file in sorted((ROOT / top).rglob("*.py")):
            if SANDBOX in file.parents:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                called = ast.unparse(node.func)
                if CALL.fullmatch(called) or (called == CHANGE and file.parent.name == "resources"):
                    name = called.rpartition(".")[2]
                    yield file.relative_to(ROOT / top).as_posix(), node, name


def path_of(argument: ast.expr) -> str | None:
    """The path that an argument writes, with X-1 for each id; None if it begins elsewhere."""
    match argument:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[ast.Constant(), *_] as parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X-1" for part in parts
            )
        case _:
            return None


def made_calls() -> tuple[list[str], set[str]]:
    """The calls whose path stands in them as `GET products/X-1`, and the source of the others."""
    written, others = [], set()
    for file, node, name in calls():
        method, arguments = METHODS[name], node.args[:1]
        if method is None:
            arguments = node.args[:2]
            method = getattr(node.args[0], "value", None)
        path = path_of(arguments[-1])
        if path is not None and method is not None:
            written.append(f"{method} {path}")
        else:
            shown = ", ".join(map(ast.unparse, arguments))
            others.add(f"{file}: {ast.unparse(node.func)}({shown})")
    return written, others


def test_each_call_is_described_or_has_its_reason() -> None:
    written, others = made_calls()
    assert len(written) > 10, "the calls are found"
    assert others == set(PATHS_FROM_ELSEWHERE)
    asked = {*written, *(call for found in PATHS_FROM_ELSEWHERE.values() for call in found)}
    assert {call for call in asked if not is_described(*call.split(" "))} == set()


REQUEST_OUTCOMES: list[Outcome] = [
    *(Approve(template_id="TL-1"), Approve(tile="Hello"), Fail("no")),
    Inquire(params=[{"id": "email"}], message="Which?"),
]
FILE_OUTCOMES: list[Outcome] = [FileAction(action, {}) for action in FILE_ACTIONS]


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        (RequestKind.FULFILLMENT, REQUEST_OUTCOMES),
        (RequestKind.TIER_CONFIG, REQUEST_OUTCOMES),
        (RequestKind.USAGE_FILE, FILE_OUTCOMES),
    ],
)
def test_each_call_of_a_decision_is_described(kind: RequestKind, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        steps = build_api_calls(RequestKey(kind, "X-1"), outcome).steps
        changes = [step for step in steps if isinstance(step, StatusChange)]
        assert changes
        for step in changes:
            assert is_described(step.method, step.path), step.path


def test_a_path_that_is_not_described_is_found() -> None:
    for call in ("POST requests/PR-1/approve/", "POST requests/PR-1/apprve", "GET conversation"):
        assert not is_described(*call.split(" "))
