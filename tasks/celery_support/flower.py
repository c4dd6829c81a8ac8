"""Flower starts read-only and for this machine, shows readable results, and links the console.

Answers gaps of Flower 2.1; tests/unit/tasks/test_celery_gaps.py notices when its defaults are safe:

- By default Flower listens at every address, without a password, and lets everyone stop workers.
  `set_defaults` changes that before Flower reads the environment, its arguments and its file, so
  that each of them wins. `refuse_unsafe_options` checks the result before Flower listens: without a
  password it must be read-only, and for this machine only. tests/acceptance/test_flower.py.
- Flower's own metrics need no password where its pages need one: `_guard_metrics`.
- It answers by any host name, and to any number of passwords, without security headers:
  `guard_handlers`. tests/acceptance/test_flower.py.
- It shows workers that ended for ever: `set_defaults`.
- Its log has a format of its own: `refuse_unsafe_options` gives it this project's.
- Its broker page asks the first Sentinel only, and database 0: `ask_sentinels`.
  tests/acceptance/test_flower.py.
- Its broker page knows a prefix on Redis, and none at RabbitMQ: `ask_rabbitmq`;
  tests/unit/tasks/test_flower.py.
- It shows results in quotes, and tracebacks of Celery's code for a retry: `format_task`.
- Its menu has no setting for a link: `link_console` adds an entry to its template. A menu without
  the expected end stays as it is; tests/unit/console/test_flower_link.py.
"""

from __future__ import annotations

import math
import sys
from ast import literal_eval
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import click
from celery.signals import import_modules
from redis.asyncio.sentinel import Sentinel
from tornado.httputil import HTTPServerRequest
from tornado.options import options
from tornado.template import DictLoader
from tornado.web import HTTPError, RequestHandler, authenticated

from connect_worker._web_access import Throttle, add_headers, is_known_host, visitor_address
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.observability.output import refuse_start
from connect_worker.settings.environment import is_loopback
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import read_sentinels
from tasks.celery_support.bootstrap import settings

MENU = "navbar.html"
#: The end of the menu's list of Flower's own pages.
MENU_END = "</ul>"


def link_console(flower_settings: dict[str, Any], url: str) -> None:
    """Give Flower templates with the link; change nothing when the menu is not the expected one."""
    folder = Path(flower_settings["template_path"])
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.html")}
    before, end, after = texts.get(MENU, "").partition(MENU_END)
    if not end:
        logger.warning(LogEvent("flower.menu_unknown", missing="the link to the console"))
        return
    # Braces would be template code.
    address = escape(url.replace("{", "%7B").replace("}", "%7D"))
    entry = f'<li class="nav-item"><a class="nav-link" href="{address}">Console</a></li>\n      '
    flower_settings["template_loader"] = DictLoader({**texts, MENU: before + entry + end + after})


#: A worker that ended is shown for this time: the next one has another name.
PURGE_SECONDS = 3600
#: The columns of the table of jobs. A job's id begins with its request's, its result with the
#: product.
COLUMNS = "name,uuid,state,result,received,runtime,worker"


def format_task(task: Any) -> Any:
    """Show a job's result without quotes; where it has none, the error or the reason to retry."""
    text = task.exception if task.state in ("RETRY", "FAILURE") else task.result
    task.result = _without_quotes(text)
    if task.state == "RETRY":
        # It has Celery's calls and this project's, and none of the processor's.
        task.traceback = None
    return task


def _without_quotes(text: object) -> object:
    try:
        value = literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, str) else text


def set_defaults() -> None:
    """Set the defaults if Flower is installed: the `celery` command has then loaded it already."""
    if "flower.options" not in sys.modules:
        return
    options.address = "127.0.0.1"
    options.read_only = True
    options.tasks_columns = COLUMNS
    options.purge_offline_workers = PURGE_SECONDS
    options.format_task = format_task
    from flower.urls import settings as flower_settings

    own = settings()
    if own.flower_auth:
        options.basic_auth = [own.flower_auth]
    if own.console_url:
        link_console(flower_settings, own.console_url)
    _guard_metrics()
    guard_handlers(own)
    ask_sentinels(own)
    ask_rabbitmq(own)


def _guard_metrics() -> None:
    """Ask for the password for Flower's own metrics too; they name workers and tasks."""
    from flower.urls import handlers
    from flower.views.monitor import Metrics

    class GuardedMetrics(Metrics):  # type: ignore[misc]  # Flower has no types
        get = authenticated(Metrics.get)

    handlers.insert(0, (r"/metrics", GuardedMetrics))


def ask_sentinels(own: Settings) -> None:
    """Let the broker page ask each Sentinel, and look into the database that the URL names."""
    sentinels = read_sentinels(own.broker_url)
    if sentinels is None:
        return
    from flower.utils.broker import RedisSentinel

    def connect(broker: Any, *_: Any) -> Any:
        manager: Any = Sentinel(sentinels.hosts, sentinel_kwargs=sentinels.sentinel)  # type: ignore[no-untyped-call]  # redis-py has no types for it
        timeouts = {
            "socket_timeout": broker.socket_timeout,
            "socket_connect_timeout": broker.socket_connect_timeout,
        }
        client = manager.master_for(sentinels.master_name, **(timeouts | sentinels.primary))
        close = client.aclose

        async def close_all() -> None:
            # Flower closes the client after each answer.
            for each in (close, *(sentinel.aclose for sentinel in manager.sentinels)):
                await each()

        client.aclose = close_all
        return client

    RedisSentinel._get_redis_client = connect


def ask_rabbitmq(own: Settings) -> None:
    """Let the broker page find queues that have the deployment's prefix at RabbitMQ."""
    from flower.utils.broker import RabbitMQ

    ask = RabbitMQ.queues

    async def queues(broker: Any, names: Iterable[str]) -> list[dict[str, Any]]:
        found = await ask(broker, [f"{own.key_prefix}{name}" for name in names])
        return [{**item, "name": item["name"].removeprefix(own.key_prefix)} for item in found]

    RabbitMQ.queues = queues


#: Flower's pages have one script and a few styles of their own, and no form for other sites.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Server": "Flower"}


class UnknownHost(RequestHandler):
    """Answers requests for a name that is not Flower's: DNS rebinding."""

    def check_xsrf_cookie(self) -> None:
        """Check nothing: nothing happens."""

    def prepare(self) -> None:
        """Answer 421.

        Raises:
            HTTPError: Always.
        """
        raise HTTPError(421, reason="Unknown host name: set CONNECT_FLOWER_URL")

    def log_exception(self, *_: Any) -> None:
        """Write no line: anybody may cause any number."""


def guard_handlers(own: Settings) -> None:
    """Let Flower check the host, throttle passwords, and send security headers.

    `/healthcheck` answers by each name: it says nothing.
    """
    from flower.app import Flower
    from flower.urls import settings as flower_settings
    from flower.views import BaseHandler

    throttle = Throttle()
    find_handler, ask_password = Flower.find_handler, BaseHandler.get_current_user

    def find_known_host(flower: Any, request: HTTPServerRequest, **kwargs: Any) -> Any:
        prefix = (options.url_prefix or "").strip("/")
        is_probe = request.path == (f"/{prefix}/healthcheck" if prefix else "/healthcheck")
        if is_probe or is_known_host(request.host, own.flower_url):
            return find_handler(flower, request, **kwargs)
        return flower.get_handler_delegate(request, UnknownHost)

    def ask_seldom(handler: Any) -> Any:
        if "Authorization" not in handler.request.headers:
            return ask_password(handler)
        address = visitor_address(handler.request, own.trusted_proxies)
        if wait := math.ceil(throttle.wait_seconds(address)):
            raise HTTPError(429, f"Too many wrong passwords: try again in {wait} seconds")
        try:
            user = ask_password(handler)
        except (HTTPError, TypeError):
            # Python compares no text that is not ASCII; Flower would show the traceback.
            throttle.record_wrong(address)
            raise HTTPError(401) from None
        throttle.record_right(address)
        return user

    Flower.find_handler = find_known_host
    BaseHandler.get_current_user = ask_seldom
    flower_settings["transforms"] = [add_headers(HEADERS, url=own.flower_url)]


@import_modules.connect
def refuse_unsafe_options(**_: Any) -> None:
    """Stop Flower before it listens where people without a password could do harm.

    Celery sends the signal when Flower has read all its options.

    Raises:
        SystemExit: With the reason and the remedy.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    # In place of Tornado's handler, with the level of Flower's option.
    log_to_standard_error(settings().log_format)
    options.basic_auth = chosen_auth(options.basic_auth, settings().flower_auth)
    if reason := unsafe_reason(options):
        refuse_start(f"Flower does not start: {reason}")


def chosen_auth(given: list[str], auth: str) -> list[str]:
    """Return the logins, of Flower's own option or of this project's setting.

    Args:
        given: Flower's option, `FLOWER_BASIC_AUTH`. An empty one comes from a variable that a
            compose file or a shell script left unset.
        auth: `CONNECT_FLOWER_AUTH`, or what is in its file. With it, a login without a password is
            one whose variable docker-compose.yml found unset.

    Raises:
        SystemExit: Both have a password, and not the same.
    """
    given = [item for item in given if item]
    if not auth:
        return given
    if any(item.partition(":")[2] and item != auth for item in given):
        refuse_start(
            "Flower does not start: FLOWER_BASIC_AUTH (FLOWER_PASSWORD in a compose file) and "
            "CONNECT_FLOWER_AUTH or CONNECT_FLOWER_AUTH_FILE are both set: remove one of them"
        )
    return [auth]


def unsafe_reason(options: Any) -> str:
    """Return why Flower must not start with these options; "" when it may."""
    for item in options.basic_auth:
        user, _, password = item.partition(":")
        if not (user and password and item.isascii()):
            return (
                "its password must be given as user:password, in ASCII "
                "(FLOWER_BASIC_AUTH, CONNECT_FLOWER_AUTH; FLOWER_PASSWORD in a compose file)"
            )
    if options.basic_auth or options.auth:
        return ""
    remedy = "give it a user and a password, FLOWER_BASIC_AUTH=user:password"
    if not (options.unix_socket or is_loopback(options.address)):
        return f"anyone who reaches {options.address or 'any address'} could use it: {remedy}"
    if not options.read_only:
        return f"anyone on this machine could stop workers and send work: {remedy}"
    return ""


set_defaults()
