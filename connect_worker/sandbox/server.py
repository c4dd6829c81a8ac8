"""Runs the sandbox until it is told to stop."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from connect_worker.sandbox.app import Sandbox
from connect_worker.sandbox.options import Options
from connect_worker.sandbox.routing import API

_MAX_UPLOAD_BYTES = 256 * 1024 * 1024


def bind(host: str, port: int) -> list[socket]:
    """Listening sockets; port 0 takes a free one.

    Raises:
        OSError: the port is taken or the address is not this machine's.
    """
    return bind_sockets(port, address=host)


def base_url(sockets: list[socket]) -> str:
    """``http://host:port`` of the first socket."""
    host, port = sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    options: Options, sockets: list[socket], *, on_ready: Callable[[Sandbox], None]
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
    for stream in tuple(sandbox.hung):
        stream.close()
    await server.close_all_connections()


def write_ready_file(path: Path, *, url: str, sandbox: Sandbox) -> None:
    """Tell a waiting process where the sandbox listens; the file appears complete or not at all.

    The document has ``url`` (the root), ``api_url`` (with the API's base path), ``api_key``,
    ``pid`` and ``products`` (their ids).
    """
    document = {
        "url": url,
        "api_url": url + API.rstrip("/"),
        "api_key": sandbox.options.api_key,
        "pid": os.getpid(),
        "products": list(sandbox.world.catalog.by_id),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(document) + "\n")
    partial.replace(path)
