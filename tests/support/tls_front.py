"""TLS in front of a Redis: the server in the wheel is built without it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from connect_worker.devtools.embedded_redis import HOST, embedded_redis

from .certificates import Authority


class TlsFront:
    """Ends TLS connections and hands on what is in them, as stunnel does."""

    def __init__(self, authority: Authority, port: int, address: str = HOST) -> None:
        #: Handshakes that clients began, and connections that they took for good.
        self.begun = self.accepted = 0
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue(address))
        self._context.sni_callback = self._count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> int:
        """Listen; the port."""
        self._thread.start()
        listening = asyncio.start_server(self._serve, HOST, 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _count(self, *_: object) -> None:
        self.begun += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        from_redis, to_redis = await asyncio.open_connection(HOST, self._behind)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_hand_on(reader, to_redis), _hand_on(from_redis, writer))
        for item in (to_redis, writer):
            item.transport.abort()

    async def _drop_all(self) -> None:
        self._server.close()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # The transports close in the loop's next rounds.
        await asyncio.sleep(0.05)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    except OSError:
        # Either side may go without a word.
        return
    finally:
        writer.close()


@contextmanager
def tls_redis(authority: Authority) -> Iterator[str]:
    """A Redis of its own behind TLS; its address without a query."""
    with tls_server(authority) as (url, _):
        yield url


@contextmanager
def tls_server(authority: Authority, address: str = HOST) -> Iterator[tuple[str, TlsFront]]:
    """A Redis of its own behind TLS, with a certificate for this address; its URL and its front."""
    with embedded_redis() as url:
        front = TlsFront(authority, urlsplit(url).port or 0, address)
        port = front.start()
        try:
            yield f"rediss://{HOST}:{port}/0", front
        finally:
            front.stop()
