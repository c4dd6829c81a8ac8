"""TLS in front of a Redis: the server in the wheel is built without it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from connect_worker.devtools.embedded_redis import HOST, embedded_redis

from .certificates import Authority
from .relay import Relay


class TlsFront(Relay):
    """Ends TLS connections and hands on what is in them, as stunnel does."""

    def __init__(self, authority: Authority, port: int, address: str = HOST) -> None:
        #: Handshakes that clients began, and connections that they took for good.
        self.begun = self.accepted = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(address))
        context.sni_callback = self._count
        super().__init__(port, tls=context)

    def _count(self, *_: object) -> None:
        self.begun += 1

    async def accept(self) -> None:
        self.accepted += 1


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
