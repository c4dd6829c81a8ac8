"""A proxy between a client and the sandbox that holds every exchange against the contract."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.openapi_contract import BASE_PATH, check_exchange

#: An id in a path, such as `PR-5852-1608-0000`.
_ID = re.compile(r"(?<=/)[A-Z]{2,3}-[\w-]+")

#: Described as an object here and as a text elsewhere; real payloads hold a blank text, too.
_BLANK_ASSIGNEE = re.compile(r"assignee: '' is not of type 'object'$")


class Proxy(ThreadingHTTPServer):
    """Passes calls on, and notes which were made and what was wrong with each."""

    daemon_threads = True

    def __init__(self, root: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(root).netloc
        #: `GET requests/{id}` of each call of the API.
        self.operations: list[str] = []
        self.faults: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{BASE_PATH}"

    def note(self, method: str, path: str, query: str, sent: Any, status: int, answer: Any) -> None:
        if not path.startswith(BASE_PATH):
            return
        plain = path.removeprefix(BASE_PATH).strip("/")
        self.operations.append(f"{method} {_ID.sub('{id}', plain)}")
        found = check_exchange(method, path, query, sent, status, answer)
        self.faults += [fault for fault in found if not _BLANK_ASSIGNEE.search(fault)]


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k not in ("Host", "Connection")}
        connection = http.client.HTTPConnection(self.server.target, timeout=20)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        url = urlsplit(self.path)
        self.server.note(
            self.command,
            url.path,
            url.query,
            _document(body, self.headers.get("Content-Type")),
            answer.status,
            _document(content, answer.headers.get("Content-Type")),
        )
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Range", "Retry-After"):
            if value := answer.headers.get(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def _document(content: bytes, content_type: str | None) -> Any:
    is_json = (content_type or "").startswith("application/json")
    return json.loads(content) if is_json and content else None


@contextmanager
def recording(root: str) -> Iterator[Proxy]:
    """A proxy in front of the server at the root."""
    with Proxy(root) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
