"""A relay before a server whose connections can go silent, as a firewall makes them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

HOST = "127.0.0.1"


class SilentRelay:
    """Carries bytes both ways. A silent connection stays open, and carries none any more.

    Args:
        port: The server's port on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._silent: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._is_down = False

    def start(self) -> int:
        """Listen; the port."""
        self._thread.start()
        listening = asyncio.start_server(self._serve, HOST, 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return int(self._server.sockets[0].getsockname()[1])

    def silence(self, *, new_ones_too: bool = False) -> int:
        """Make all connections silent, and how many there are; with `new_ones_too` the link is
        down until `restore`."""
        self._is_down = new_ones_too
        count = len(self._open - self._silent)
        self._silent |= self._open
        return count

    def restore(self) -> None:
        """Let new connections through again; silent ones stay silent."""
        self._is_down = False

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _drop_all(self) -> None:
        self._server.close()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # The transports close in the loop's next rounds.
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = writer
        try:
            if self._is_down:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                return
            from_server, to_server = await asyncio.open_connection(HOST, self._target)
            # The connection is known by the client's side.
            self._open.add(writer)
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._carry(reader, to_server, writer), self._carry(from_server, writer, writer)
                )
        finally:
            self._open.discard(writer)
            for item in (to_server, writer):
                item.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, key: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while some := await reader.read(65_536):
                if key in self._silent:
                    await asyncio.Event().wait()
                to.write(some)
                await to.drain()
        if key in self._silent:
            await asyncio.Event().wait()
        to.close()


@contextmanager
def silent_relay(url: str) -> Iterator[tuple[str, SilentRelay]]:
    """Run a relay before the server of a URL; the URL through the relay, and the relay."""
    parts = urlsplit(url)
    relay = SilentRelay(parts.port or 0)
    port = relay.start()
    login = parts.netloc.rpartition("@")[0]
    netloc = f"{login}@{HOST}:{port}" if login else f"{HOST}:{port}"
    try:
        yield parts._replace(netloc=netloc).geturl(), relay
    finally:
        relay.stop()
