"""The console as a Tornado application."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tornado.web import Application, RequestHandler, StaticFileHandler, url

from connect_worker.console.actions import Ask, Carry, Done
from connect_worker.console.deployment import Deployment
from connect_worker.console.page import HEADERS, House, Missing
from connect_worker.console.password import Throttle
from connect_worker.console.pausing import Pause, Resume
from connect_worker.console.sessions import Sessions
from connect_worker.console.signing import SignIn, SignOut
from connect_worker.console.views import ShowBoard, ShowList, ShowStory

_FOLDER: Final = Path(__file__).parent
#: Pages that wait for a ledger at the same time.
THREADS: Final = 8


class Asset(StaticFileHandler):
    """A file of the console's own: style, script, icon."""

    def set_default_headers(self) -> None:
        """Tell the browser to be careful."""
        for name, text in HEADERS.items():
            self.set_header(name, text)


class Healthcheck(RequestHandler):
    """For probes: the console runs. Whether the ledger answers is no question of its health."""

    def get(self) -> None:
        """Say so."""
        self.write("OK")


def _say_nothing(_handler: RequestHandler) -> None:
    """Log no line for a page."""


def make_application(deployment: Deployment, *, port: int) -> Application:
    """Return the console; the port tells its cookies from those of another one on this host."""
    house = House(
        deployment=deployment,
        sessions=Sessions(),
        throttle=Throttle(),
        threads=ThreadPoolExecutor(THREADS, thread_name_prefix="ledger"),
        cookie=f"connect-console-{port}",
    )
    shared = {"house": house}
    return Application(
        [
            url(r"/", ShowBoard, shared),
            url(r"/requests", ShowList, shared),
            url(r"/request", ShowStory, shared),
            url(r"/ask", Ask, shared),
            url(r"/act", Carry, shared),
            url(r"/done", Done, shared),
            url(r"/pause", Pause, shared),
            url(r"/resume", Resume, shared),
            url(r"/login", SignIn, shared),
            url(r"/logout", SignOut, shared),
            url(r"/healthcheck", Healthcheck),
        ],
        default_handler_class=Missing,
        default_handler_args=shared,
        template_path=str(_FOLDER / "templates"),
        static_path=str(_FOLDER / "static"),
        static_handler_class=Asset,
        # Of this process: who has signed in before a restart signs in again.
        cookie_secret=secrets.token_hex(32),
        xsrf_cookies=True,
        xsrf_cookie_name=f"connect-console-{port}-xsrf",
        xsrf_cookie_kwargs={
            "httponly": True,
            "samesite": "Strict",
            "secure": deployment.console_url.startswith("https:"),
        },
        # No line for each page: what is worth one is logged by the page.
        log_function=_say_nothing,
    )
