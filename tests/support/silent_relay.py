"""A relay before a server whose connections can go silent, as a firewall makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from connect_worker.devtools.embedded_redis import HOST

from .relay import Relay


class SilentRelay(Relay):
    """A silent connection stays open, and carries nothing any more."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._silent: set[asyncio.StreamWriter] = set()
        self._is_down = False
        #: Never set. It holds what waits: the loop itself would let it be collected as garbage.
        self._never = asyncio.Event()

    def silence(self, *, new_ones_too: bool = False) -> int:
        """Make all connections silent, and how many there are; with `new_ones_too` the link is
        down until `restore`."""
        self._is_down = new_ones_too
        count = len(self.open - self._silent)
        self._silent |= self.open
        return count

    def restore(self) -> None:
        """Let new connections through again; silent ones stay silent."""
        self._is_down = False

    async def accept(self) -> None:
        if self._is_down:
            await self._never.wait()

    async def pass_on(self, client: asyncio.StreamWriter) -> None:
        if client in self._silent:
            await self._never.wait()


@contextmanager
def silent_relay(
    url: str, kind: type[SilentRelay] = SilentRelay
) -> Iterator[tuple[str, SilentRelay]]:
    """Run a relay before the server of a URL; the URL through the relay, and the relay."""
    parts = urlsplit(url)
    relay = kind(parts.port or 0)
    port = relay.start()
    login = parts.netloc.rpartition("@")[0]
    netloc = f"{login}@{HOST}:{port}" if login else f"{HOST}:{port}"
    try:
        yield parts._replace(netloc=netloc).geturl(), relay
    finally:
        relay.stop()
