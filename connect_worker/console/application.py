"""The console as a Tornado application."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, StaticFileHandler, url

from connect_worker.console.actions import Ask, Carry, Done, Pause, Resume
from connect_worker.console.pages import HEADERS, Deployment, House, Missing
from connect_worker.console.sessions import Sessions, Throttle
from connect_worker.console.sign_in import SignIn, SignOut
from connect_worker.console.views import ShowBoard, ShowList, ShowStory

# The console's process: it listens until it is told to stop.

#: A form of the console has a few kilobytes: the names of a page's requests.
MOST_BODY_BYTES = 256 * 1024
IDLE_SECONDS = 60.0


def serve(deployment: Deployment, *, address: str, port: int, ready: Callable[[int], None]) -> None:
    """Listen until SIGTERM or Ctrl-C; `ready` is told the port.

    Raises:
        OSError: The address or the port can't be had.
    """
    sockets = bind_sockets(port, address)
    chosen: int = sockets[0].getsockname()[1]

    async def until_told() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        server = HTTPServer(
            make_application(deployment, port=chosen),
            max_body_size=MOST_BODY_BYTES,
            max_buffer_size=MOST_BODY_BYTES,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=IDLE_SECONDS,
        )
        server.add_sockets(sockets)
        ready(chosen)
        await stopped.wait()
        server.stop()
        await server.close_all_connections()

    asyncio.run(until_told())


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
