"""Whatever watches the calls of `requests`, or answers in their place, sees each call."""

from __future__ import annotations

import re
import string
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
import requests
import requests_mock
import responses
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connect_worker.api import Client
from connect_worker.api.transport import plain_url
from connect_worker.exceptions import BadRequest, ConnectionFailed, InvalidResponse
from tests.support.scripted_server import CANARY, KEY, Call, Reply, serving

BASE = "http://127.0.0.1:8800/public/v1"
PLAIN = string.ascii_letters + string.digits + "./~:?=&(),*;@!$'+-_%# é"
TEXTS = st.text(PLAIN, max_size=30)
FINE = Reply(body={"id": "PR-1"})


@given(path=TEXTS, params=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=2))
def test_a_plain_url_is_the_one_that_requests_would_prepare(
    path: str, params: dict[str, str]
) -> None:
    url = f"{BASE}/{path}"
    plain = plain_url(url, params)
    if plain is not None:
        assert plain == requests.Request("GET", url, params=params).prepare().url


@pytest.mark.parametrize("path", ["requests/PR-1", "requests?in(id,(A,B))&limit=100&offset=0"])
def test_the_calls_of_the_worker_are_plain(path: str) -> None:
    assert plain_url(f"{BASE}/{path}", {"a": "b c"}) is not None


@pytest.mark.parametrize("path", ["requests/a b", "a%2Fb", "requests/é", "a/../b", "./a", "a#b"])
def test_what_has_to_be_rewritten_is_not_plain(path: str) -> None:
    assert plain_url(f"{BASE}/{path}", None) is None


#: By name; each makes one call.
CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("requests/PR-1", {"a": "b c"}),
    "get of what is quoted": lambda client: client.get("requests?like(name,'*a%20b*')"),
    "post": lambda client: client.post("requests/PR-1/approve", {"tile": "é"}, key="abc"),
    "post without a body": lambda client: client.post("usage/files/UF-1/close", key="abc"),
    "put": lambda client: client.put("requests/PR-1", {"a": [1, None]}),
    "text": lambda client: client.get_text("templates/TL-1/render"),
    "upload": lambda client: client.upload("usage", field="f", filename="f.xlsx", content=b"PK"),
    "download": lambda client: client.download(f"{client.url}/template"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_server_sees_the_call_that_requests_would_have_prepared(name: str) -> None:
    with serving(FINE) as server:
        client = server.client()
        CALLS[name](client)
        with patch("connect_worker.api.transport.plain_url", return_value=None):
            CALLS[name](client)
    first, second = (comparable(call) for call in server.calls)
    assert first == second


def comparable(call: Call) -> tuple[object, ...]:
    headers = {name.lower(): value for name, value in call.headers.items()}
    # Of an upload; it is another one each time.
    boundary = headers.get("content-type", "").partition("boundary=")[2]
    headers["content-type"] = headers.get("content-type", "").partition(";")[0]
    body = call.body.replace(boundary.encode(), b"-") if boundary else call.body
    return call.method, call.path, call.query, headers, body


def test_a_get_is_redirected_and_the_key_stays_here() -> None:
    with serving(Reply(body={"id": "PR-2"})) as there:
        moved = Reply(302, headers={"Location": f"{there.url}/requests/PR-2"})
        with serving(moved) as here:
            url = here.url.replace("127.0.0.1", "localhost")
            found = Client(url, KEY, allow_private_hosts=True).get("requests/PR-1")
    assert found == {"id": "PR-2"}
    assert "Authorization" not in there.calls[0].headers


# ---- what answers in the place of the network


Sees = Callable[[], int]


@contextmanager
def with_responses() -> Iterator[Sees]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT"):
            mock.add(method, re.compile(".*"), json={"id": "PR-1"})
        yield lambda: len(mock.calls)


@contextmanager
def with_requests_mock() -> Iterator[Sees]:
    with requests_mock.Mocker() as mock:
        mock.register_uri(requests_mock.ANY, requests_mock.ANY, json={"id": "PR-1"})
        yield lambda: mock.call_count


#: What vendors' tests return: only these fields, and a text as the content in the oldest ones.
Answer = namedtuple("Answer", "ok text status_code")
OldAnswer = namedtuple("OldAnswer", "ok content")
TEXT = '{"id": "PR-1"}'


def response_of(text: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = 200, text.encode()
    return response


ANSWERS: dict[str, Any] = {
    "a tuple": Answer(True, TEXT, 200),
    "a tuple of 2019": OldAnswer(True, TEXT),
    "a mock": MagicMock(status_code=200, **{"json.return_value": {"id": "PR-1"}}),
    "a response": response_of(TEXT),
}


@contextmanager
def with_patches(*names: str, answer: Any = ANSWERS["a tuple"]) -> Iterator[Sees]:
    with ExitStack() as stack:
        doubles = [
            stack.enter_context(patch(name, MagicMock(return_value=answer))) for name in names
        ]
        yield lambda: sum(double.call_count for double in doubles)


FUNCTIONS = ("requests.get", "requests.post", "requests.put")
METHODS = ("requests.Session.get", "requests.Session.post", "requests.Session.put")

TOOLS: dict[str, Callable[[], AbstractContextManager[Sees]]] = {
    "responses": with_responses,
    "requests-mock": with_requests_mock,
    "patch requests.get": lambda: with_patches(*FUNCTIONS),
    "patch requests.request": lambda: with_patches("requests.request"),
    "patch Session.get": lambda: with_patches(*METHODS),
    "patch Session.request": lambda: with_patches("requests.Session.request"),
    "patch Session.send": lambda: with_patches("requests.Session.send"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_double_gets_each_call_and_nothing_is_sent(tool: str, name: str) -> None:
    with serving(FINE) as server:
        client = server.client()
        CALLS["get"](client)
        with TOOLS[tool]() as sees:
            answer = CALLS[name](client)
            assert sees() == 1
        CALLS["get"](client)
    assert len(server.calls) == 2
    assert "PR-1" in str(answer)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_double_may_answer_with_whatever_the_sdk_took(answer: Any) -> None:
    client = Client(BASE, KEY)
    with with_patches(*FUNCTIONS, answer=answer):
        assert client.get("requests/PR-1") == {"id": "PR-1"}
        assert client.post("requests/PR-1/approve", {}) == {"id": "PR-1"}
    with with_patches(*FUNCTIONS, answer=MagicMock()):
        assert client.post("requests/PR-1/approve", {}) is None


def test_a_double_gets_the_arguments_of_the_sdk() -> None:
    client = Client(BASE, KEY)
    with patch("requests.get", return_value=Answer(True, "[]", 200)) as get:
        client.get("conversations", {"instance_id": "PR-1"})
    get.assert_called_once_with(
        url=f"{BASE}/conversations",
        headers={"Content-Type": "application/json", "Authorization": KEY},
        params={"instance_id": "PR-1"},
        timeout=300,
    )
    with patch("requests.post", return_value=Answer(True, "{}", 201)) as post:
        client.post("conversations/CO-1/messages", {"text": "hello"})
    post.assert_called_once_with(
        url=f"{BASE}/conversations/CO-1/messages",
        headers={"Content-Type": "application/json", "Authorization": KEY},
        json={"text": "hello"},
        timeout=300,
    )


def test_a_doubles_refusal_and_failure_are_the_errors_of_the_call() -> None:
    client = Client(BASE, KEY)
    refusal = Answer(False, '{"error_code": "VAL_001", "errors": ["no"]}', 400)
    with with_patches("requests.post", answer=refusal), pytest.raises(BadRequest, match="no"):
        client.post("requests/PR-1/approve", {})
    with (
        patch("requests.get", side_effect=requests.ConnectionError("away")),
        pytest.raises(ConnectionFailed),
    ):
        client.get("requests/PR-1")


def test_a_list_is_read_from_a_double() -> None:
    with with_patches("requests.get", answer=Answer(True, f"[{TEXT}]", 200)):
        assert list(Client(BASE, KEY).get_all("requests")) == [{"id": "PR-1"}]


def test_a_double_answers_with_the_whole_list_at_once() -> None:
    page = Answer(True, f"[{TEXT}]", 200)
    for read in (Client.get_all, Client.get_list):
        with patch("requests.get", side_effect=[page]) as get:
            assert list(read(Client(BASE, KEY), "requests")) == [{"id": "PR-1"}]
        assert get.call_count == 1


# ---- what watches the calls


@contextmanager
def with_opentelemetry() -> Iterator[Sees]:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    try:
        yield lambda: len(spans.get_finished_spans())
    finally:
        RequestsInstrumentor().uninstrument()


@contextmanager
def with_spy(name: str) -> Iterator[Sees]:
    """A double that passes each call on."""
    owner, _, function = name.rpartition(".")
    original = getattr(requests if owner == "requests" else requests.Session, function)
    seen: list[Any] = []

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(args)
        return original(*args, **options)

    with patch(name, spy):
        yield lambda: len(seen)


@contextmanager
def with_passthrough() -> Iterator[Sees]:
    with responses.RequestsMock() as mock:
        mock.add_passthru("http://")
        yield lambda: -1


WATCHERS: dict[str, Callable[[], AbstractContextManager[Sees]]] = {
    "OpenTelemetry": with_opentelemetry,
    "a spy of requests.get": lambda: with_spy("requests.get"),
    "a spy of requests.request": lambda: with_spy("requests.request"),
    "a spy of Session.get": lambda: with_spy("requests.Session.get"),
    "a spy of Session.request": lambda: with_spy("requests.Session.request"),
    "a spy of Session.send": lambda: with_spy("requests.Session.send"),
    "responses that let pass": with_passthrough,
}


@pytest.mark.parametrize("watcher", WATCHERS)
def test_a_watcher_sees_each_call_which_is_sent_once_and_takes_one_turn(watcher: str) -> None:
    turns: list[str] = []
    with serving(FINE) as server:
        client = server.client(before_call=lambda: turns.append("turn"))
        with WATCHERS[watcher]() as sees:
            client.get("requests/PR-1")
            client.get("requests?like(name,'*a%20b*')")
            assert sees() in (2, -1)
    assert len(server.calls) == len(turns) == 2


def test_opentelemetry_traces_a_change_and_passes_its_context_on() -> None:
    with serving(FINE) as server, with_opentelemetry() as spans:
        server.client().post("requests/PR-1/approve", {})
        assert spans() == 1
    assert server.calls[0].headers["traceparent"].startswith("00-")


@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize("name", ["get", "get of what is quoted", "download"])
def test_the_limits_hold_for_what_a_watcher_passes_on(watcher: str, name: str) -> None:
    def large(client: Client) -> None:
        with pytest.raises(InvalidResponse, match="CONNECT_MAX_ANSWER_MEGABYTES"):
            CALLS[name](client)

    def slow(client: Client) -> None:
        with pytest.raises(ConnectionFailed, match="CONNECT_TIMEOUT_SECONDS"):
            CALLS[name](client)

    with WATCHERS[watcher]():
        with serving(Reply(body={"id": "x" * 100_000})) as server:
            large(server.client(max_answer_bytes=50_000))
        with serving(Reply(action="hang")) as server:
            slow(server.client(timeout_seconds=0.03 if name == "download" else 0.3))


@pytest.mark.parametrize("watcher", WATCHERS)
def test_a_watcher_opens_no_way_to_a_private_host(watcher: str) -> None:
    with serving(Reply(body=b"secret")) as private, serving(FINE) as server, WATCHERS[watcher]():
        for target in (private.url, private.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(InvalidResponse, match="CONNECT_ALLOW_PRIVATE_HOSTS"):
                server.client().download(f"{target}/template")
        assert private.calls == []


def test_no_double_or_watcher_gets_the_key_of_a_download() -> None:
    with serving(FINE) as server, patch("requests.get", return_value=Answer(True, "x", 200)) as get:
        server.client(allow_private_hosts=True).download(f"{server.url}/template")
    assert CANARY not in str(get.mock_calls)
