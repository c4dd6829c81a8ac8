"""Each attempt to call Connect passes the turnstile, and none is sent that it refuses."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from connect_worker.api import Client
from connect_worker.exceptions import ConnectionFailed
from tests.support.scripted_server import KEY, Call, Reply, serving

FINE = Reply(body={"id": "PR-1"})


class Closed(Exception):
    """What the turnstile of these tests refuses with."""


class Counting:
    """A turnstile that lets so many pass."""

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
    "post": lambda client: client.post("requests/PR-1/approve/", {}),
    "put": lambda client: client.put("requests/PR-1", {}),
    "upload": lambda client: client.upload("usage", field="f", filename="f.xlsx", content=b"PK"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_passes_once(call: Callable[[Client], Any]) -> None:
    turnstile = Counting()
    with serving(FINE) as server:
        call(server.client(turnstile=turnstile))
        assert turnstile.asked == len(server.calls) == 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_refused_call_is_not_sent(call: Callable[[Client], Any]) -> None:
    with serving(FINE) as server:
        with pytest.raises(Closed):
            call(server.client(turnstile=Counting(most=0)))
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
    turnstile = Counting()
    with serving(*faults, FINE) as server:
        server.client(turnstile=turnstile).get("requests/PR-1")
        assert turnstile.asked == len(server.calls) == len(faults) + 1


@pytest.mark.parametrize("fault", [Reply(503), Reply(action="reset")], ids=["503", "reset"])
def test_a_repetition_that_is_refused_is_not_sent(fault: Reply) -> None:
    with serving(fault) as server:
        client = server.client(turnstile=Counting(most=2))
        with pytest.raises(Closed):
            client.get("requests/PR-1")
        assert len(server.calls) == 2


def test_a_client_that_was_refused_goes_on_with_the_same_connection() -> None:
    turnstile = Counting(most=1)
    with serving(FINE) as server:
        client = server.client(turnstile=turnstile)
        client.get("requests/PR-1")
        with pytest.raises(Closed):
            client.get("requests/PR-1")
        turnstile.most = 9
        client.get("requests/PR-1")
        assert len(server.connections) == 1


def test_a_connection_that_is_tried_again_passes_again() -> None:
    turnstile = Counting()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionFailed):
            Client(url, KEY, turnstile=turnstile).post("requests", {})
    assert turnstile.asked == 2


def test_each_page_passes() -> None:
    def page(call: Call) -> Reply:
        first = call.number("offset")
        return Reply(
            body=[{"id": f"PR-{first}"}], headers={"Content-Range": f"items {first}-{first}/3"}
        )

    turnstile = Counting()
    with serving(page) as server:
        client = server.client(turnstile=turnstile, page_size=1)
        assert len(list(client.get_all("requests"))) == 3
        assert turnstile.asked == len(server.calls)


def test_a_followed_redirection_is_two_calls() -> None:
    turnstile = Counting()
    with serving(Reply(302, headers={"Location": "elsewhere"}), FINE) as server:
        server.client(turnstile=turnstile).get("requests/PR-1")
        assert turnstile.asked == len(server.calls) == 2


def test_a_download_is_no_call_to_connect() -> None:
    turnstile = Counting(most=0)
    with serving(Reply(body=b"PK")) as server:
        assert server.client(turnstile=turnstile).download(f"{server.url}/template") == b"PK"
    assert turnstile.asked == 0
