"""The API key is sent to Connect, and shown nowhere."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connect_worker.api import Client, client_for
from connect_worker.config import Config
from connect_worker.exceptions import Message, SettingsError
from tests.support.scripted_server import CANARY, KEY, Call, Reply, serving


def echo(status: int, *, headers: bool = True, form: str = "json") -> Callable[[Call], Reply]:
    """A server that answers with what it was sent, as debugging proxies do."""

    def play(call: Call) -> Reply:
        key = call.headers["Authorization"]
        sent = {"Retry-After": "1", "X-Echo": key} if headers else {}
        if form == "json":
            document = {"error_code": "E", "errors": [f"bad key {key}"], "params": {"in": [key]}}
            return Reply(status, document, sent)
        if form == "other":
            return Reply(status, {"headers": {"Authorization": key}}, sent)
        return Reply(status, f"<pre>Authorization: {key}</pre>".encode(), sent)

    return play


def shown(error: BaseException) -> str:
    """Everything that a person or a log may come to see of an error."""
    obj = getattr(error, "obj", None)
    parts = [str(error), repr(error), repr(vars(error)), str(obj), repr(obj)]
    revived = pickle.loads(pickle.dumps(error))
    parts += [str(revived), repr(vars(revived)), pickle.dumps(error).decode("latin-1")]
    parts += traceback.format_exception(error)
    return "\n".join(parts)


CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("requests/PR-1"),
    "get_all": lambda client: list(client.get_all("requests", {"status": "pending"})),
    "get_text": lambda client: client.get_text("templates/TL-1/render"),
    "post": lambda client: client.post("requests/PR-1/approve", {"template_id": "TL-1"}),
    "put": lambda client: client.put("requests/PR-1", {}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [400, 401, 429])
@pytest.mark.parametrize("form", ["json", "other", "html"])
def test_no_refusal_shows_the_key_though_connect_echoes_it(
    call: str, status: int, form: str
) -> None:
    with serving(echo(status, form=form)) as server, pytest.raises(Message) as raised:
        CALLS[call](server.client())
    assert CANARY not in shown(raised.value)


@pytest.mark.parametrize("call", ["get", "get_all", "post"])
def test_no_unusable_answer_shows_the_key(call: str) -> None:
    with serving(echo(200, form="html")) as server, pytest.raises(Message) as raised:
        CALLS[call](server.client())
    assert CANARY not in shown(raised.value)


@pytest.mark.parametrize("action", ["reset", "hang"])
def test_no_missing_answer_shows_the_key(action: str) -> None:
    with serving(Reply(action=action)) as server, pytest.raises(Message) as raised:
        CALLS["post"](server.client(timeout_seconds=0.2))
    assert CANARY not in shown(raised.value)


@pytest.mark.parametrize("key", [f"ApiKey SU-1:{CANARY}ä", f"ApiKey SU-1:{CANARY}\r\nX: y"])
def test_a_key_that_fits_no_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Client("http://127.0.0.1:1", key)
    assert CANARY not in shown(raised.value)


def test_no_log_line_shows_the_key_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "connect_worker"):
        caplog.set_level(logging.DEBUG, logger=name)
    with serving(echo(503), Reply(action="reset"), echo(200)) as server:
        server.client().get("requests/PR-1")
        server.client().post("requests", {})
    assert "urllib3" in {record.name.split(".")[0] for record in caplog.records}
    lines = [
        record.getMessage() + json.dumps(vars(record), default=repr) for record in caplog.records
    ]
    assert CANARY not in "\n".join(lines)


def test_the_client_and_its_parts_do_not_show_the_key() -> None:
    config = Config.local("http://127.0.0.1:1/public/v1", KEY)
    client = client_for(config)
    assert CANARY not in f"{client!r} {client} {config!r}"
    assert client.url in repr(client)


def test_a_download_does_not_send_the_key() -> None:
    with serving(Reply(body=b"PK")) as server:
        server.client().download(f"{server.url}/template.xlsx")
        [call] = server.calls
    assert "Authorization" not in call.headers
    assert CANARY not in str(call.headers)


def test_a_redirection_to_another_place_does_not_take_the_key_along() -> None:
    with serving(Reply(body={})) as elsewhere:
        away = Reply(302, headers={"Location": f"{elsewhere.url}/x"})
        with serving(away) as server:
            server.client(allow_private_hosts=True).get("requests/PR-1")
    [call] = elsewhere.calls
    assert "Authorization" not in call.headers


def test_a_netrc_file_does_not_replace_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(Reply(body={})) as server:
        client = server.client()
        client.get("requests/PR-1")
        client.download(f"{server.url}/template.xlsx")
        assert server.calls[0].headers["Authorization"] == KEY
        assert "Authorization" not in server.calls[1].headers
