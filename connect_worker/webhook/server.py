"""The process of the receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from tornado.web import url

from connect_worker.operations.webserver import (
    Healthcheck,
    LimitedApplication,
    log_no_access,
    serve_until_stopped,
)
from connect_worker.settings.environment import Network
from connect_worker.webhook.handler import (
    Account,
    AppState,
    BackgroundPublisher,
    NotificationHandler,
)


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

    def application(_port: int, threads: Executor) -> LimitedApplication:
        return make_application(AppState(threads, accounts, publisher, trusted_proxies))

    serve_until_stopped(
        application,
        address=address,
        port=port,
        ready=ready,
    )
    publisher.close()


def make_application(state: AppState) -> LimitedApplication:
    """Return the receiver as a Tornado application."""
    return LimitedApplication(
        [
            url(r"/healthcheck", Healthcheck),
            url(r"/.*", NotificationHandler, {"state": state}),
        ],
        log_function=log_no_access,
    )
