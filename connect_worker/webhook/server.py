"""The process of the receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from tornado.web import Application, url

from connect_worker.operations.webserver import Healthcheck, log_no_access, serve_until_stopped
from connect_worker.settings.environment import Network
from connect_worker.webhook.handler import (
    Account,
    AppState,
    BackgroundPublisher,
    NotificationHandler,
)

IDLE_SECONDS: Final = 30.0
#: Beyond them the connection ends without an answer; the handler refuses a token long before.
MAX_HEADER_BYTES: Final = 64 * 1024
#: How much is read at once; the handler itself checks the length of the body.
CHUNK_BYTES: Final = 64 * 1024


def serve(
    accounts: Mapping[str, Account],
    *,
    address: str,
    port: int,
    ready: Callable[[int], None],
    trusted_proxies: Sequence[Network] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` gets the port.

    Raises:
        OSError: The address or the port is not available.
    """
    publisher = BackgroundPublisher()

    def application(_port: int, threads: Executor) -> Application:
        state = AppState(threads, accounts, publisher, trusted_proxies)
        return make_application(state)

    serve_until_stopped(
        application,
        address=address,
        port=port,
        ready=ready,
        idle_seconds=IDLE_SECONDS,
        # No limit: Tornado would answer a larger body itself, before the handler sees the request.
        max_body_size=2**62,
        max_header_size=MAX_HEADER_BYTES,
        chunk_size=CHUNK_BYTES,
        max_buffer_size=4 * CHUNK_BYTES,
    )
    publisher.close()


def make_application(state: AppState) -> Application:
    """Return the receiver as a Tornado application."""
    return Application(
        [
            url(r"/healthcheck", Healthcheck),
            url(r"/.*", NotificationHandler, {"state": state}),
        ],
        log_function=log_no_access,
    )
