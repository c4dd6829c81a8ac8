"""What goes over the wire, how often, and what a missing answer becomes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from connect_worker.api import Client
from connect_worker.exceptions import ApiError, ConnectionFailed, InvalidResponse, ServerFault
from tests.support.scripted_server import KEY, Call, Reply, error_document, serving

FINE = Reply(body={"id": "PR-1"})

#: Ways a server fails, by what a call that isn't repeated becomes.
FAULTS: dict[str, tuple[Reply, type[Exception]]] = {
    "reset": (Reply(action="reset"), ConnectionFailed),
    "500": (Reply(500, error_document("broken")), ServerFault),
    "502": (Reply(502, b"<html>bad gateway</html>"), ServerFault),
    "503": (Reply(503, headers={"Retry-After": "0"}), ServerFault),
    "504": (Reply(504), ServerFault),
}

CHANGES: dict[str, Callable[[Client], Any]] = {
    "post": lambda client: client.post("requests/PR-1/approve", {"template_id": "TL-1"}),
    "put": lambda client: client.put("requests/PR-1", {"asset": {"params": []}}),
    "upload": lambda client: client.upload(
        "usage/files/UF-1/upload", field="usage_file", filename="usage_file.xlsx", content=b"PK"
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_get_is_repeated_after_a_fault(fault: str) -> None:
    with serving(FAULTS[fault][0], FINE) as server:
        assert server.client().get("requests/PR-1") == {"id": "PR-1"}
        assert len(server.calls) == 2


def test_a_get_whose_answer_breaks_off_is_repeated() -> None:
    with serving(Reply(body={"id": "x" * 5000}, action="cut"), FINE) as server:
        assert server.client().get("requests/PR-1") == {"id": "PR-1"}


def test_a_get_is_given_up_after_four_tries() -> None:
    with serving(Reply(503, error_document("busy"))) as server:
        with pytest.raises(ServerFault, match=r"GET requests/PR-1 answered 503: VAL_001: busy"):
            server.client().get("requests/PR-1")
        assert len(server.calls) == 4


def test_a_get_is_not_repeated_after_a_429() -> None:
    with serving(Reply(429, headers={"Retry-After": "1"}), FINE) as server:
        with pytest.raises(ApiError):
            server.client().get("requests")
        assert len(server.calls) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_is_sent_once_whatever_happens(change: str, fault: str) -> None:
    reply, error = FAULTS[fault]
    with serving(reply, FINE) as server:
        with pytest.raises(error):
            CHANGES[change](server.client())
        assert len(server.calls) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "wait", ["0", "1", format_datetime(datetime.now(UTC), usegmt=True)], ids=["0", "1", "now"]
)
def test_a_change_is_sent_once_after_a_429_that_says_when(change: str, wait: str) -> None:
    with serving(Reply(429, headers={"Retry-After": wait}), FINE) as server:
        with pytest.raises(ApiError):
            CHANGES[change](server.client())
        assert len(server.calls) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_of_a_change_is_an_error_and_not_followed(change: str, status: int) -> None:
    def play(call: Call) -> Reply:
        moved = {"Location": f"http://{call.headers['Host']}/public/v1/elsewhere"}
        return FINE if call.path.endswith("elsewhere") else Reply(status, headers=moved)

    with serving(play) as server:
        with pytest.raises(ApiError) as raised:
            CHANGES[change](server.client())
        assert raised.value.status == status
        assert len(server.calls) == 1


def test_a_change_whose_answer_breaks_off_may_have_been_made() -> None:
    with serving(Reply(body={"id": "x" * 5000}, action="cut")) as server:
        with pytest.raises(ConnectionFailed) as raised:
            CHANGES["post"](server.client())
        assert raised.value.sent is True
        assert len(server.calls) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_times_out_may_have_been_made(change: str) -> None:
    with serving(Reply(action="hang")) as server:
        begun = time.monotonic()
        with pytest.raises(ConnectionFailed) as raised:
            CHANGES[change](server.client(timeout_seconds=0.2))
        assert raised.value.sent is True
        assert time.monotonic() - begun < 20
        assert len(server.calls) == 1


def test_a_get_that_times_out_has_used_its_time_and_is_not_repeated() -> None:
    with serving(Reply(action="hang"), FINE) as server:
        begun = time.monotonic()
        with pytest.raises(ConnectionFailed, match=r"not within 1 s, see CONNECT_TIMEOUT_SECONDS"):
            server.client(timeout_seconds=1).get("requests/PR-1")
        assert time.monotonic() - begun < 3
        assert len(server.calls) == 1


def late(call: Call) -> Reply:
    time.sleep(0.6)
    return Reply(body=[{"id": "PR-1"}], headers={"Content-Range": "items 0-0/1"})


def test_a_list_and_a_file_may_take_ten_times_as_long_as_another_call() -> None:
    with serving(late) as server:
        client = server.client(timeout_seconds=0.3)
        assert [row["id"] for row in client.get_all("requests")] == ["PR-1"]
        assert client.upload("usage", field="f", filename="f.xlsx", content=b"PK")
        with pytest.raises(ConnectionFailed, match=r"not within 0\.3 s"):
            client.get("requests/PR-1")
        with pytest.raises(ConnectionFailed, match=r"not within 0\.3 s"):
            client.post("requests/PR-1/approve/", {})


#: Nobody listens there.
CLOSED_PORT = 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:{CLOSED_PORT}/public/v1",
        "http://no-such-host.invalid/public/v1",
        "127.0.0.1/public/v1",
        "ftp://127.0.0.1/public/v1",
        "http:///public/v1",
    ],
)
def test_a_change_without_a_connection_was_never_made(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="POST requests: no answer from Connect") as raised:
        Client(url, KEY).post("requests", {})
    assert raised.value.sent is False


def test_a_change_through_a_dead_proxy_was_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{CLOSED_PORT}")
    with pytest.raises(ConnectionFailed) as raised:
        Client("http://connect.invalid/public/v1", KEY).post("requests", {})
    assert raised.value.sent is False


# ---- what is sent


def test_a_call_carries_the_key_and_asks_for_json() -> None:
    with serving(FINE) as server:
        server.client().get("requests/PR-1", {"a": "b c"})
        [call] = server.calls
    assert call.method == "GET"
    assert call.path == "/public/v1/requests/PR-1"
    assert call.query == "a=b+c"
    assert call.headers["Authorization"] == KEY
    assert call.headers["Accept"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_change_carries_json_and_the_idempotency_key(method: str) -> None:
    with serving(FINE) as server:
        server.client().send(method, "requests/PR-1", {"reason": "ä"}, key="a-key")
        [call] = server.calls
    assert call.method == method
    assert call.json == {"reason": "ä"}
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Idempotency-Key"] == "a-key"


def test_a_change_without_a_key_has_no_header_for_it() -> None:
    with serving(FINE) as server:
        server.client().post("requests", {})
        assert "Idempotency-Key" not in server.calls[0].headers


def test_a_change_without_a_body_sends_none_and_an_empty_object_is_one() -> None:
    with serving(FINE) as server:
        server.client().post("usage/files/UF-1/close")
        server.client().post("requests/PR-1/inquire", {})
        assert [call.body for call in server.calls] == [b"", b"{}"]


def test_an_upload_is_multipart_with_the_files_name() -> None:
    with serving(FINE) as server:
        client = server.client()
        client.upload("x", field="usage_file", filename="usage_file.xlsx", content=b"PK\0", key="k")
        [call] = server.calls
    assert call.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="usage_file"; filename="usage_file.xlsx"' in call.body
    assert b"PK\0" in call.body
    assert call.headers["Idempotency-Key"] == "k"


# ---- what is read


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_without_a_body_is_none(status: int) -> None:
    with serving(Reply(status)) as server:
        assert server.client().post("requests/PR-1/fail", {"reason": "x"}) is None


@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b'{"id": "PR-', b"\xff\xfe\x00"])
def test_a_success_that_is_no_json_is_invalid(body: bytes) -> None:
    with serving(Reply(body=body, headers={"Content-Type": "text/html"})) as server:
        for call in (lambda c: c.get("requests/PR-1"), CHANGES["post"]):
            with pytest.raises(InvalidResponse) as raised:
                call(server.client())
            assert raised.value.method in str(raised.value)
            assert len(raised.value.body) <= 200


def test_a_text_without_a_charset_is_utf_8() -> None:
    reply = Reply(body="# Grüß Gott".encode(), headers={"Content-Type": "text/markdown"})
    with serving(reply) as server:
        assert server.client().get_text("templates/TL-1/render", {}) == "# Grüß Gott"


def test_a_text_in_another_charset_is_read_as_it_says() -> None:
    headers = {"Content-Type": "text/markdown; charset=iso-8859-1"}
    with serving(Reply(body="Grüß".encode("latin-1"), headers=headers)) as server:
        assert server.client().get_text("templates/TL-1/render") == "Grüß"


def test_a_redirected_get_is_followed() -> None:
    def play(call: Call) -> Reply:
        if call.path.endswith("/new"):
            return FINE
        return Reply(302, headers={"Location": "/public/v1/new"})

    with serving(play) as server:
        assert server.client().get("old") == {"id": "PR-1"}


def test_a_download_gives_the_bytes_and_fails_like_any_call() -> None:
    with serving(Reply(body=b"PK\3\4"), Reply(404, b"gone")) as server:
        url = f"{server.url}/template.xlsx?signature=abc"
        assert server.client().download(url) == b"PK\3\4"
        with pytest.raises(ApiError) as raised:
            server.client().download(url)
    assert raised.value.status == 404
    assert "signature" not in str(raised.value)


def test_a_trailing_slash_of_the_url_makes_no_difference() -> None:
    with serving(FINE) as server:
        Client(server.url + "/", KEY).get("requests")
        assert server.calls[0].path == "/public/v1/requests"


# ---- how paths end


def wanting_slash(missing: Reply) -> Callable[[Call], Reply]:
    """A deployment that has its actions only under paths with a slash at the end."""

    def play(call: Call) -> Reply:
        if not call.path.endswith(("/approve", "/upload")):
            return FINE
        location = missing.headers.get("Location", "").format(call.path)
        return replace(missing, headers={"Location": location} if location else {})

    return play


NO_SUCH_PATH = Reply(404, {"error_code": "NF_001", "errors": ["Object not found."]})


@pytest.mark.parametrize(
    "missing",
    [NO_SUCH_PATH, *(Reply(status, headers={"Location": "{}/"}) for status in (301, 308))],
)
def test_a_deployment_that_wants_a_slash_is_noticed_once(
    missing: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(wanting_slash(missing)) as server:
        client = server.client()
        for name in ("PR-1", "PR-2"):
            client.post(f"requests/{name}/approve", {"template_id": "TL-1"}, key="k")
        client.upload("usage/files/UF-1/upload", field="x", filename="y", content=b"PK")
        paths = [call.path.removeprefix("/public/v1/") for call in server.calls]
        bodies = [(call.body, call.headers.get("Idempotency-Key")) for call in server.calls[:2]]
    assert paths == [
        "requests/PR-1/approve",
        "requests/PR-1/approve/",
        "requests/PR-2/approve/",
        "usage/files/UF-1/upload",
        "usage/files/UF-1/upload/",
    ]
    assert bodies[0] == bodies[1] == (b'{"template_id": "TL-1"}', "k")
    lines = [text for text in caplog.messages if "connect.slash_needed" in text]
    assert [text.partition("action=")[2] for text in lines] == ["approve", "upload"]


@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        pytest.param(NO_SUCH_PATH, 2, id="no such object either way"),
        pytest.param(Reply(404, b"<html>Not found</html>"), 1, id="a page of a proxy"),
        pytest.param(Reply(301, headers={"Location": "/login/"}), 1, id="to a login"),
        pytest.param(Reply(400, error_document("no")), 1, id="refused"),
    ],
)
def test_a_refusal_is_not_taken_for_a_path_without_its_slash(reply: Reply, sent: int) -> None:
    with serving(reply) as server:
        with pytest.raises(ApiError) as raised:
            server.client().post("requests/PR-1/approve", {})
        assert raised.value.path == "requests/PR-1/approve"
        assert len(server.calls) == sent


def test_a_deployment_that_changes_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    with serving(NO_SUCH_PATH, FINE, NO_SUCH_PATH, FINE) as server:
        client = server.client()
        for _ in range(3):
            client.post("requests/PR-1/approve", {})
        slashes = [call.path.endswith("/") for call in server.calls]
    assert slashes == [False, True, True, False, False]
    assert [text.split()[0] for text in caplog.messages if "slash" in text] == [
        "connect.slash_needed",
        "connect.slash_refused",
    ]


def test_an_object_that_is_not_found_is_asked_for_once() -> None:
    with serving(NO_SUCH_PATH) as server:
        with pytest.raises(ApiError):
            server.client().get("requests/PR-2")
        assert len(server.calls) == 1


@pytest.mark.parametrize("lost", [Reply(action="reset"), Reply(502)])
def test_a_call_with_a_slash_whose_reply_is_lost_is_not_sent_again(lost: Reply) -> None:
    with serving(NO_SUCH_PATH, lost) as server:
        with pytest.raises((ConnectionFailed, ServerFault)):
            server.client().post("requests/PR-1/approve", {})
        assert len(server.calls) == 2
