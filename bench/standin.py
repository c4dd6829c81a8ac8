"""A stand-in for Connect that answers fast: `python -m bench.standin --ready-file FILE`.

On two cores the sandbox would be the bottleneck of the measurements at 0 ms, and would use a share
of the processor. This server answers the calls of an approval and nothing else, with prepared
documents, and counts the calls. A run counts only if each request is approved once.

In addition to the API it has `/bench/reset`, `/bench/latency`, `/bench/add`, `/bench/waits` and
`/bench/report`.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import click

from bench.backlog import Backlog

#: What a list leaves out: it stands first in the query.
_SELECT = re.compile(r"select\((-[\w.]+(?:,-[\w.]+)*)\)")

API = "/public/v1/"
API_KEY = "SU-000-000-001:a-key-of-the-benchmark"


class Standin:
    """The backlog, the delay of every answer, and the calls with their times."""

    def __init__(self) -> None:
        self.reset(count=0)

    def reset(self, *, count: int, latency_ms: float = 0.0, conversations: bool = True) -> None:
        """Start again with a new backlog."""
        self.backlog = Backlog(count, conversations=conversations)
        self.latency_seconds = latency_ms / 1000
        self.calls: Counter[str] = Counter()
        #: The size of all answers to `GET requests`, without their headers.
        self.list_bytes = 0
        self.first = self.first_job = self.last = 0.0
        self._cpu = time.process_time()

    def report(self) -> dict[str, Any]:
        """Return what happened since the last reset."""
        backlog = self.backlog
        return {
            "done": backlog.is_done,
            "created": len(backlog.created),
            "approved": len(backlog.approved),
            "duplicates": backlog.duplicates,
            "calls": dict(self.calls),
            "list_bytes": self.list_bytes,
            "first": self.first,
            "first_job": self.first_job,
            "last": self.last,
            "cpu_seconds": time.process_time() - self._cpu,
        }

    def control(self, path: str, query: str) -> bytes:
        """Execute a command of the benchmark."""
        numbers = {name: float(texts[-1]) for name, texts in parse_qs(query).items()}
        match path:
            case "reset":
                self.reset(
                    count=int(numbers["count"]),
                    latency_ms=numbers["latency_ms"],
                    conversations=bool(numbers["conversations"]),
                )
            case "latency":
                self.latency_seconds = numbers["latency_ms"] / 1000
            case "add":
                self.backlog.add(1, now=time.monotonic())
            case "waits":
                backlog = self.backlog
                waits = [
                    backlog.approved[name] - backlog.created[name] for name in backlog.approved
                ]
                return _reply(200, json.dumps(waits).encode())
        return _reply(200, json.dumps(self.report()).encode())

    def answer(self, method: str, path: str, query: str) -> bytes:
        """Answer one API call."""
        now = time.monotonic()
        self.first, self.last = self.first or now, now
        parts = path.rstrip("/").split("/")
        if method == "GET" and parts == ["requests"]:
            self.calls["GET requests"] += 1
            return self._list(query)
        self.first_job = self.first_job or now
        match method, *parts:
            case "GET", "requests", name:
                self.calls["GET requests/{id}"] += 1
                return _reply(200, self.backlog.document(name))
            case "POST", "requests", name, "approve":
                self.calls["POST requests/{id}/approve"] += 1
                if not self.backlog.approve(name, now=now):
                    return _reply(400, b'{"error_code": "REQ_003", "errors": ["Not pending."]}')
                return _reply(200, self.backlog.document(name))
            case "GET", "conversations":
                self.calls["GET conversations"] += 1
                name = parse_qs(query)["instance_id"][0]
                return _reply(200, _conversation(name) if self.backlog.conversations else b"[]")
            case "GET", "conversations", name:
                self.calls["GET conversations/{id}"] += 1
                return _reply(200, _conversation(f"PR-{name[3:]}")[1:-1])
            case "POST", "conversations", name, "messages":
                self.calls["POST conversations/{id}/messages"] += 1
                self.backlog.messages[name] += 1
                return _reply(201, b'{"id": "ME-000-000-001"}')
        self.calls[f"unknown: {method} {path}"] += 1
        return _reply(404, b'{"error_code": "NTF_001", "errors": ["Not found."]}')

    def _list(self, query: str) -> bytes:
        parameters = {part.partition("=")[0]: part.partition("=")[2] for part in query.split("&")}
        offset, limit = int(parameters.get("offset", 0)), int(parameters.get("limit", 100))
        names, total = self.backlog.page(offset, limit)
        select = _SELECT.match(query)
        without = tuple(select[1].replace("-", "").split(",")) if select else ()
        rows = (self.backlog.document(name, without) for name in names)
        body = b"[" + b",".join(rows) + b"]"
        self.list_bytes += len(body)
        last = offset + max(len(names) - 1, 0)
        return _reply(200, body, f"Content-Range: items {offset}-{last}/{total}\r\n")


class Connection(asyncio.Protocol):
    """One client's connection, with one call after the other."""

    def __init__(self, standin: Standin) -> None:
        self._standin = standin
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the replies."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when the head and the whole body of a call have arrived."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = body[_content_length(head) :]
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        path, _, query = target.partition("?")
        if path.startswith("/bench/"):
            self._transport.write(self._standin.control(path.removeprefix("/bench/"), query))
            return
        reply = self._standin.answer(method, path.removeprefix(API), query)
        if seconds := self._standin.latency_seconds:
            asyncio.get_running_loop().call_later(seconds, self._transport.write, reply)
        else:
            self._transport.write(reply)


def _content_length(head: bytes) -> int:
    _, header, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if header else 0


_REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 404: "Not Found"}


def _reply(status: int, body: bytes, headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


def _conversation(name: str) -> bytes:
    conversation = {"id": f"CO-{name[3:]}", "instance_id": name, "topic": name, "messages": []}
    return json.dumps([conversation]).encode()


async def serve(ready_file: Path) -> None:
    """Listen on a free port until SIGTERM."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    standin = Standin()
    server = await loop.create_server(lambda: Connection(standin), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    partial = ready_file.with_suffix(".partial")
    partial.write_text(f"http://127.0.0.1:{port}")
    partial.replace(ready_file)
    await stopped.wait()


@click.command
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(ready_file: Path) -> None:
    """Run the stand-in, and write its address to the file."""
    asyncio.run(serve(ready_file))


if __name__ == "__main__":
    main()
