"""The console as a Tornado application, and its process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

from tornado.web import HTTPError, StaticFileHandler, url

from connect_worker._web_access import Throttle, add_headers
from connect_worker.console.actions import (
    ConfirmHandler,
    ExecuteHandler,
    PauseHandler,
    ResultHandler,
    ResumeHandler,
)
from connect_worker.console.pages import HEADERS, AppState, Deployment, NotFoundPage
from connect_worker.console.security import Sessions
from connect_worker.console.views import (
    RequestDetailsPage,
    RequestListPage,
    SignInPage,
    SignOut,
    StatusPage,
)
from connect_worker.operations.webserver import (
    Healthcheck,
    LimitedApplication,
    log_no_access,
    serve_until_stopped,
)

_FOLDER: Final = Path(__file__).parent


def serve(deployment: Deployment, *, address: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` gets the port.

    Raises:
        OSError: The address or the port is not available.
    """

    def application(bound_port: int, threads: Executor) -> LimitedApplication:
        return make_application(deployment, port=bound_port, threads=threads)

    serve_until_stopped(application, address=address, port=port, ready=ready)


class Asset(StaticFileHandler):
    """A file of the console: style, script, icon."""

    def parse_url_path(self, url_path: str) -> str:
        """Return the file's path.

        Raises:
            HTTPError: It can't be one: the file system refuses some characters with an error.
        """
        if not url_path.isprintable():
            raise HTTPError(404)
        return super().parse_url_path(url_path)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log errors of the program; what anybody may ask for in vain is no line of the log."""
        if not isinstance(value, HTTPError):
            super().log_exception(typ, value, tb)


def make_application(deployment: Deployment, *, port: int, threads: Executor) -> LimitedApplication:
    """Return the console.

    The port is part of the cookies' names: browsers share cookies between the ports of a host.
    With https, `__Host-` keeps other hosts of the domain from setting them.
    """
    cookie = f"{'__Host-' if deployment.is_https else ''}connect-console-{port}"
    state = AppState(
        threads,
        deployment=deployment,
        sessions=Sessions(),
        throttle=Throttle(),
        cookie=cookie,
    )
    shared = {"state": state}
    return LimitedApplication(
        [
            url(r"/", StatusPage, shared),
            url(r"/requests", RequestListPage, shared),
            url(r"/request", RequestDetailsPage, shared),
            url(r"/confirm", ConfirmHandler, shared),
            url(r"/execute", ExecuteHandler, shared),
            url(r"/result", ResultHandler, shared),
            url(r"/pause", PauseHandler, shared),
            url(r"/resume", ResumeHandler, shared),
            url(r"/login", SignInPage, shared),
            url(r"/logout", SignOut, shared),
            url(r"/healthcheck", Healthcheck),
        ],
        default_handler_class=NotFoundPage,
        default_handler_args=shared,
        template_path=str(_FOLDER / "templates"),
        static_path=str(_FOLDER / "static"),
        static_handler_class=Asset,
        # New in each process: after a restart all users sign in again.
        cookie_secret=secrets.token_hex(32),
        xsrf_cookies=True,
        xsrf_cookie_name=f"{cookie}-xsrf",
        xsrf_cookie_kwargs=deployment.cookie_flags,
        transforms=[add_headers(HEADERS, url=deployment.console_url)],
        log_function=log_no_access,
    )
