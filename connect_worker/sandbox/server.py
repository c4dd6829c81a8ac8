"""The sandbox as an HTTP server: Tornado's sockets, the fault rules, the endpoints behind them."""

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from connect_worker.sandbox.api import dispatch, error_response, record_call, router
from connect_worker.sandbox.documents import Clock, utc_now
from connect_worker.sandbox.faults import Fault
from connect_worker.sandbox.http import (
    API,
    CONTROL,
    ApiError,
    Match,
    Request,
    Response,
    UnauthorizedError,
    Upload,
)
from connect_worker.sandbox.memory import Options, SandboxState
from connect_worker.sandbox.seeding import build_state
from connect_worker.sandbox.webhook import Sender

_WEB_PAGE = (
    b"<!doctype html><html><head><title>Maintenance</title></head><body>Back soon</body></html>"
)


class Sandbox:
    """The current state, and the connections that get no response."""

    def __init__(self, options: Options, clock: Clock = utc_now) -> None:
        self.options = options
        self.hanging: set[IOStream] = set()
        self._clock = clock
        self._sender = Sender()
        self.state = self._seed()

    def _seed(self) -> SandboxState:
        return build_state(
            self.options,
            clock=self._clock,
            call_later=_call_later,
            post=self._sender.post,
            reset=self._reset_state,
        )

    def _reset_state(self) -> None:
        self.state = self._seed()

    def application(self) -> Application:
        """The web application; every path goes to one handler."""
        return Application([(r"/.*", _Handler, {"sandbox": self})], log_function=lambda _: None)


def _call_later(seconds: float, function: Any) -> object:
    return asyncio.get_running_loop().call_later(seconds, function)


class _Handler(RequestHandler):
    """Handles every request."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def initialize(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def compute_etag(self) -> None:
        """No ETag: Connect sends none, and hashing large pages would cost more than making them."""

    def write_error(self, status_code: int, **_: Any) -> None:
        """Respond to an error in the sandbox or in HTTP itself; Tornado has logged it to stderr."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(ApiError(status_code, "INT_001", self._reason).body()))

    async def _serve(self) -> None:
        state = self._sandbox.state
        if state.options.latency_seconds and not self.request.path.startswith(CONTROL):
            await asyncio.sleep(state.options.latency_seconds)
        method = str(self.request.method)
        try:
            match = router.match(method, self.request.path)
        except ApiError as refusal:
            self._send(error_response(refusal))
            return
        fault = None
        if match.prefix != CONTROL:
            fault = state.faults.take(method, self.request.path, match.request_id)
        if fault:
            await self._apply_fault(fault, match)
        else:
            self._send(await self._answer(match))

    get = head = post = put = patch = delete = options = _serve

    async def _answer(self, match: Match) -> Response:
        state, request = self._sandbox.state, self._read_request(match)
        if match.prefix == API and not (request.by_provider or self._key_is(state.options.api_key)):
            record_call(state, match, 401)
            return error_response(UnauthorizedError())
        response = dispatch(match, state, request)
        if response.later is None:
            return response
        try:
            return replace(response, content=await response.later())
        except ApiError as refusal:
            return error_response(refusal)

    def _read_request(self, match: Match) -> Request:
        request = self.request
        provider_key = self._sandbox.options.provider_key
        return Request(
            method=str(request.method),
            path=request.path,
            args=match.args,
            query=request.query,
            parameters={
                name: values[-1].decode() for name, values in request.query_arguments.items()
            },
            body=request.body,
            files={
                name: Upload(files[0]["filename"], files[0]["body"])
                for name, files in request.files.items()
            },
            idempotency_key=request.headers.get("Idempotency-Key"),
            base_url=f"{request.protocol}://{request.host}",
            by_provider=provider_key is not None and self._key_is(provider_key),
        )

    def _key_is(self, key: str) -> bool:
        return self.request.headers.get("Authorization") == f"ApiKey {key}"

    async def _apply_fault(self, fault: Fault, match: Match) -> None:
        if fault.action == "delay":
            await asyncio.sleep(fault.seconds)
            self._send(await self._answer(match))
            return
        if fault.commits:
            response = await self._answer(match)
        else:
            response = Response(content={})
            record_call(self._sandbox.state, match, _shown_status(fault))
        if fault.action.startswith("reset"):
            _reset(self.detach())
        elif fault.action == "hang":
            self._leave_hanging(self.detach())
        elif fault.action == "echo":
            self._send(replace(_faulty_response(fault, response), content=self._echo()))
        else:
            self._send(_faulty_response(fault, response))

    def _echo(self) -> bytes:
        """The request as debugging gateways show it, cut off in the middle of a document."""
        body = self.request.body.decode("utf-8", "replace")
        return json.dumps({"headers": dict(self.request.headers), "body": body})[:-1].encode()

    def _leave_hanging(self, stream: IOStream) -> None:
        hanging = self._sandbox.hanging
        hanging.add(stream)
        stream.set_close_callback(lambda: hanging.discard(stream))

    def _send(self, response: Response) -> None:
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        if response.content is None:
            self.clear_header("Content-Type")
            self.finish()
            return
        self.set_header("Content-Type", response.content_type)
        content = response.content
        self.finish(content if isinstance(content, bytes) else json.dumps(content).encode())


def _shown_status(fault: Fault) -> int:
    """The status that the client gets when no endpoint was called; 0: no response."""
    if fault.action in ("status", "echo"):
        return fault.status
    return 200 if fault.action in ("html", "broken_json") else 0


def _faulty_response(fault: Fault, response: Response) -> Response:
    """The response that the rule asks for."""
    if fault.action == "html":
        return Response(content=_WEB_PAGE, content_type="text/html; charset=utf-8")
    if fault.action == "broken_json":
        whole = json.dumps(response.content or {"id": "PR-0000"}).encode()
        return replace(response, status=200, content=whole[: max(1, len(whole) // 2)])
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    failure = ApiError(fault.status, f"FAULT_{fault.status}", "A fault rule asks for this error.")
    return Response(status=fault.status, content=failure.body(), headers=headers)


def _reset(stream: IOStream) -> None:
    """Close so that the client sees a reset and not an orderly end."""
    if stream.socket is not None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


_MAX_UPLOAD_BYTES = 256 * 1024 * 1024


def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets; port 0 takes a free port.

    Raises:
        OSError: The port is taken or the address is not this machine's.
    """
    return bind_sockets(port, address=host)


def base_url(sockets: list[socket.socket]) -> str:
    """``http://host:port`` of the first socket."""
    host, port = sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    options: Options, sockets: list[socket.socket], *, on_ready: Callable[[Sandbox], None]
) -> None:
    """Seed, listen, call ``on_ready`` once, and return after SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    sandbox = Sandbox(options)
    server = HTTPServer(sandbox.application(), max_buffer_size=_MAX_UPLOAD_BYTES)
    server.add_sockets(sockets)
    on_ready(sandbox)
    await stopped.wait()
    server.stop()
    for stream in tuple(sandbox.hanging):
        stream.close()
    await server.close_all_connections()


def write_ready_file(path: Path, *, url: str, sandbox: Sandbox) -> None:
    """Write where the sandbox listens, for a process that waits; the file is never half-written.

    The document has ``url`` (the root), ``api_url`` (with the API's base path), ``api_key``,
    ``pid`` and ``products`` (their ids).
    """
    document = {
        "url": url,
        "api_url": url + API.rstrip("/"),
        "api_key": sandbox.options.api_key,
        "pid": os.getpid(),
        "products": list(sandbox.state.catalog.by_id),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    # It has the key, which may be a person's own: no other user may read it.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")
    partial.replace(path)
