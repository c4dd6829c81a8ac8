"""Waking a worker's event loop from another thread.

Under the threads pool nobody tells the loop that a job has ended. Without prefetching a worker
whose threads are all busy then looks for messages once a second only, and stands still in between.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any


class Waker:
    """A pair of sockets: what is written to one ends the loop's wait at the other."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)

    def watch(self, hub: Any) -> None:
        """Have an event loop listen; again after each of its resets."""
        hub.add_reader(self._far.fileno(), self._drain)

    def wake(self) -> None:
        """End the loop's wait; from any thread, any number of times."""
        # A full pair wakes it as well.
        with suppress(BlockingIOError):
            self._near.send(b"\0")

    def close(self) -> None:
        """Close both ends."""
        self._near.close()
        self._far.close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._far.recv(65536)
