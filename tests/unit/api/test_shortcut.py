"""The fast path sends what `requests` would send, and leaves to it what is not ordinary."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from connect_worker.api import Client
from connect_worker.api.transport import to_target
from tests.support.scripted_server import KEY, Call, Reply, serving

BASE = "http://127.0.0.1:8800/public/v1"
PLAIN = string.ascii_letters + string.digits + "./~:?=&(),*;@!$'+-_%# é"
TEXTS = st.text(PLAIN, max_size=30)


@given(path=TEXTS, params=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=2))
def test_the_target_is_the_one_that_requests_would_ask_for(
    path: str, params: dict[str, str]
) -> None:
    url = f"{BASE}/{path}"
    target = to_target(url, params)
    if target is not None:
        assert target == requests.Request("GET", url, params=params).prepare().path_url


@pytest.mark.parametrize("path", ["requests/PR-1", "requests?in(id,(A,B))&limit=100&offset=0"])
def test_the_calls_of_the_worker_are_ordinary(path: str) -> None:
    assert to_target(f"{BASE}/{path}", {"a": "b c"}) is not None


@pytest.mark.parametrize("path", ["requests/a b", "a%2Fb", "requests/é", "a/../b", "./a", "a#b"])
def test_what_has_to_be_rewritten_is_not_ordinary(path: str) -> None:
    assert to_target(f"{BASE}/{path}", None) is None


CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("requests/PR-1", {"a": "b c"}),
    "post": lambda client: client.post("requests/PR-1/approve", {"tile": "é"}, key="abc"),
    "post without a body": lambda client: client.post("usage/files/UF-1/close", key="abc"),
    "put": lambda client: client.put("requests/PR-1", {"a": [1, None]}),
    "text": lambda client: client.get_text("templates/TL-1/render"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_server_sees_the_same_call_either_way(name: str) -> None:
    with serving(Reply(body={"id": "PR-1"})) as server:
        client = server.client()
        CALLS[name](client)
        with client._pool.session() as lent:
            assert lent._fast_path
            lent._fast_path = None
        CALLS[name](client)
    straight, around = (comparable(call) for call in server.calls)
    assert straight == around


def comparable(call: Call) -> tuple[object, ...]:
    headers = {name.lower(): value for name, value in call.headers.items()}
    return call.method, call.path, call.query, headers, call.body


def test_a_get_is_redirected_and_the_key_stays_here() -> None:
    with serving(Reply(body={"id": "PR-2"})) as there:
        moved = Reply(302, headers={"Location": f"{there.url}/requests/PR-2"})
        with serving(moved) as here:
            url = here.url.replace("127.0.0.1", "localhost")
            found = Client(url, KEY, allow_private_hosts=True).get("requests/PR-1")
    assert found == {"id": "PR-2"}
    assert "Authorization" not in there.calls[0].headers


def wrapped(sent: list[str], original: Callable[..., Any]) -> Callable[..., Any]:
    """Count the calls as an instrumentation does: in a function that calls the original."""

    @functools.wraps(original)
    def count(*args: Any, **options: Any) -> Any:
        sent.append("call")
        return original(*args, **options)

    return count


def replaced(sent: list[str], original: Callable[..., Any]) -> Callable[..., Any]:
    """Count the calls as the mocking libraries do: in a function of their own."""

    def count(*args: Any, **options: Any) -> Any:
        sent.append("call")
        return original(*args, **options)

    return count


@pytest.mark.parametrize("replace", [wrapped, replaced])
@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (requests.Session, "send"),
        (requests.Session, "get_adapter"),
        (requests.adapters.HTTPAdapter, "send"),
    ],
)
def test_whatever_watches_requests_sees_each_call(
    owner: type,
    method: str,
    replace: Callable[[list[str], Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    with serving(Reply(body={"id": "PR-1"})) as server:
        client = server.client()
        client.get("requests/PR-1")
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, replace(sent, getattr(owner, method)))
            for call in CALLS.values():
                call(client)
        client.get("requests/PR-1")
    assert len(sent) == len(CALLS) == len(server.calls) - 2
