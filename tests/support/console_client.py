"""`connect-worker console` as a process, and a person's browser before it, without a screen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from requests.adapters import HTTPAdapter

from connect_worker.config import Config
from connect_worker.settings.model import account_name

ROOT = Path(__file__).parents[2]
API_URL = "http://127.0.0.1:9/public/v1"
#: Its secret half is not needed.
KEY = "SU-000-000-001:not-asked-for"
ACCOUNT = account_name(Config.local(API_URL, KEY))
PASSWORD = "correct horse"


class SourceAddress(HTTPAdapter):
    """Calls from another address of this machine: 127.0.0.2 is as good as 127.0.0.1."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: object, **options: object) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **options)  # type: ignore[arg-type]


class Served:
    """A console that listens."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def log(self) -> str:
        return self._log.read_text()

    def visitor(self) -> ConsoleClient:
        """Somebody who has not signed in."""
        return ConsoleClient(self.url)

    def operator(self, who: str = "anna") -> ConsoleClient:
        """Somebody who has."""
        visitor = self.visitor()
        visitor.sign_in(who)
        return visitor


class ConsoleClient:
    """Follows links, and sends the forms that it has been given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self._xsrf = ""

    def get(self, path: str, **options: object) -> requests.Response:
        return self._seen("GET", path, **options)

    def page(self, path: str) -> str:
        """A page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def live(self, path: str) -> str:
        """The part of a page that changes."""
        return self.page(f"{path}{'&' if '?' in path else '?'}part=live")

    def post(self, path: str, fields: object, **options: object) -> requests.Response:
        """Send a form with the token of the last page."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)  # type: ignore[call-overload]
        return self._seen("POST", path, data=[("_xsrf", self._xsrf), *pairs], **options)

    def sign_in(self, who: str = "anna", password: str = PASSWORD) -> requests.Response:
        self.get("/login")
        return self.post("/login", {"who": who, "password": password, "next": "/"})

    def ask(self, action: str, *refs: object, **fields: str) -> str:
        """Choose requests, and see the question; returns its page."""
        pairs = [("action", action), *fields.items(), *(("request", str(ref)) for ref in refs)]
        answer = self.post("/confirm", pairs)
        assert answer.status_code == 200, answer.text
        return answer.text

    def agree(self, question: str) -> requests.Response:
        """Say yes."""
        (token,) = re.findall(r'name="token" value="([^"]+)"', question)
        return self.post("/execute", {"token": token})

    def _seen(self, method: str, path: str, **options: object) -> requests.Response:
        answer = self.session.request(
            method,
            urljoin(self.url, path),
            timeout=30,
            **options,  # type: ignore[arg-type]  # requests' own
        )
        if found := re.search(r'name="_xsrf" value="([^"]+)"', answer.text):
            self._xsrf = found[1]
        return answer


def text_of(page: str) -> str:
    """What a person reads of a page, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


COMMAND = ("-m", "connect_worker", "console", "--port", "0")


@contextmanager
def serving(
    redis_url: str, folder: Path, *options: str, command: Sequence[str] = COMMAND, **variables: str
) -> Iterator[Served]:
    """Run the console until the block ends; it ends by itself when the test expects it."""
    log = folder / "console.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, *options],
            cwd=ROOT,
            env=environment(redis_url, **variables),
            stderr=output,
        )
    try:
        yield Served(_url(process, log), log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()


def environment(redis_url: str, **variables: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CONNECT_")}
    own = {
        "CONNECT_API_URL": API_URL,
        "CONNECT_API_KEY": KEY,
        "CONNECT_REDIS_URL": redis_url,
    }
    return inherited | own | variables


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + 30
    while not (found := re.search(r'\bconsole at ([^\s"]+)', log.read_text())):
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"it ended before it served: {log.read_text()}")
        time.sleep(0.05)
    return found[1]
