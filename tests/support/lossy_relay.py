"""A relay before a Redis that can lose replies, as a network does at the worst moment."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LossyRelay(socketserver.ThreadingUnixStreamServer):
    """Carries bytes both ways; a reply that is to be lost closes the connection instead."""

    daemon_threads = True

    def __init__(self, path: Path, target: Path) -> None:
        super().__init__(str(path), _Connection)
        self.target = target
        #: How many of the next replies get lost.
        self.lose = 0
        self.lost = 0


class _Connection(socketserver.BaseRequestHandler):
    server: LossyRelay

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(str(self.server.target))
            while True:
                ready, _, _ = select.select([self.request, upstream], [], [])
                for side in ready:
                    received = side.recv(65536)
                    if not received:
                        return
                    if side is upstream and self.server.lose > 0:
                        self.server.lose -= 1
                        self.server.lost += 1
                        return
                    (self.request if side is upstream else upstream).sendall(received)


@contextmanager
def lossy_relay(folder: Path, target: Path) -> Iterator[LossyRelay]:
    """Run a relay on the socket `folder/lossy` until the block ends."""
    with LossyRelay(folder / "lossy", target) as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
            (folder / "lossy").unlink()
