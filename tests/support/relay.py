"""A relay before a server, in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress

from connect_worker.devtools.embedded_redis import HOST


class Relay:
    """Carries bytes both ways between clients and a server.

    Args:
        port: The server's port on this machine.
        tls: What the relay shows to clients; without it they speak as they would to the server.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        #: The clients' sides of the connections that reach the server.
        self.open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> int:
        """Listen; the port."""
        self._thread.start()
        listening = asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def accept(self) -> None:
        """Called for each new connection; may wait before the server gets it."""

    async def pass_on(self, client: asyncio.StreamWriter) -> None:
        """Called before bytes, or the end of them, go on; may wait."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = writer
        try:
            with suppress(asyncio.CancelledError):
                await self.accept()
                from_server, to_server = await asyncio.open_connection(HOST, self._target)
                self.open.add(writer)
                await asyncio.gather(
                    self._carry(reader, to_server, writer), self._carry(from_server, writer, writer)
                )
        finally:
            self.open.discard(writer)
            for item in (to_server, writer):
                item.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        # Either side may go without a word.
        with suppress(OSError):
            while some := await reader.read(65_536):
                await self.pass_on(client)
                to.write(some)
                await to.drain()
        await self.pass_on(client)
        to.close()

    async def _drop_all(self) -> None:
        self._server.close()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # The transports close in the loop's next rounds.
        await asyncio.sleep(0.05)
