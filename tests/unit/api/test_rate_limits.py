"""Each attempt to call Connect passes the rate limiter, and none is sent that it refuses."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from connect_worker.api import Client
from connect_worker.exceptions import ConnectionFailed, InvalidDocument
from tests.support.scripted_server import KEY, Call, Reply, serving

FINE = Reply(body={"id": "PR-1"})


class Closed(Exception):
    """What the limiter of these tests raises."""


class Counting:
    """A rate limiter that lets so many calls pass."""

    def __init__(self, most: int = 1_000) -> None:
        self.most = most
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.most:
            raise Closed


CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("requests/PR-1"),
    "text": lambda client: client.get_text("templates/TL-1/render"),
    "post": lambda client: client.post("requests/PR-1/approve", {}),
    "put": lambda client: client.put("requests/PR-1", {}),
    "upload": lambda client: client.upload("usage", field="f", filename="f.xlsx", content=b"PK"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_passes_once(call: Callable[[Client], Any]) -> None:
    limiter = Counting()
    with serving(FINE) as server:
        call(server.client(before_call=limiter))
        assert limiter.asked == len(server.calls) == 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_refused_call_is_not_sent(call: Callable[[Client], Any]) -> None:
    with serving(FINE) as server:
        with pytest.raises(Closed):
            call(server.client(before_call=Counting(most=0)))
        assert server.calls == []


@pytest.mark.parametrize(
    "faults",
    [
        [Reply(503), Reply(503)],
        [Reply(action="reset"), Reply(action="reset")],
        [Reply(body={"id": "x" * 5000}, action="cut")],
    ],
    ids=["503", "reset", "cut off"],
)
def test_each_repetition_of_a_get_passes_too(faults: list[Reply]) -> None:
    limiter = Counting()
    with serving(*faults, FINE) as server:
        server.client(before_call=limiter).get("requests/PR-1")
        assert limiter.asked == len(server.calls) == len(faults) + 1


@pytest.mark.parametrize("fault", [Reply(503), Reply(action="reset")], ids=["503", "reset"])
def test_a_repetition_that_is_refused_is_not_sent(fault: Reply) -> None:
    with serving(fault) as server:
        client = server.client(before_call=Counting(most=2))
        with pytest.raises(Closed):
            client.get("requests/PR-1")
        assert len(server.calls) == 2


def test_a_client_that_was_refused_goes_on_with_the_same_connection() -> None:
    limiter = Counting(most=1)
    with serving(FINE) as server:
        client = server.client(before_call=limiter)
        client.get("requests/PR-1")
        with pytest.raises(Closed):
            client.get("requests/PR-1")
        limiter.most = 9
        client.get("requests/PR-1")
        assert len(server.connections) == 1


def test_a_connection_that_is_tried_again_passes_again() -> None:
    limiter = Counting()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionFailed):
            Client(url, KEY, before_call=limiter).post("requests", {})
    assert limiter.asked == 2


def test_each_page_passes() -> None:
    def page(call: Call) -> Reply:
        first = call.number("offset")
        return Reply(
            body=[{"id": f"PR-{first}"}], headers={"Content-Range": f"items {first}-{first}/3"}
        )

    limiter = Counting()
    with serving(page) as server:
        client = server.client(before_call=limiter, page_size=1)
        assert len(list(client.get_all("requests"))) == 3
        assert limiter.asked == len(server.calls)


def test_a_followed_redirection_is_two_calls() -> None:
    limiter = Counting()
    with serving(Reply(302, headers={"Location": "elsewhere"}), FINE) as server:
        server.client(before_call=limiter).get("requests/PR-1")
        assert limiter.asked == len(server.calls) == 2


def test_a_download_is_no_call_to_connect() -> None:
    limiter = Counting(most=0)
    with serving(Reply(body=b"PK")) as server:
        assert server.client(before_call=limiter).download(f"{server.url}/template") == b"PK"
    assert limiter.asked == 0


QUOTED = {
    "in the path": lambda client: client.get("requests?like(name,'*a%20b*')"),
    "in a list": lambda client: list(client.get_all("requests", "like(name,'*a%20b*')")),
    "a body that is no JSON": lambda client: client.post("requests", {"a": float("nan")}),
}


@pytest.mark.parametrize("call", QUOTED.values(), ids=QUOTED)
def test_a_call_that_requests_has_to_prepare_passes_once(call: Callable[[Client], Any]) -> None:
    limiter = Counting()
    with serving(Reply(body=[])) as server:
        with suppress(InvalidDocument):
            call(server.client(before_call=limiter))
        assert limiter.asked == len(server.calls)
