"""Flower starts read-only and for this machine, shows readable results, and links the console.

Answers gaps of Flower 2.1; tests/unit/tasks/test_celery_gaps.py notices when its defaults are safe:

- By default Flower listens at every address, without a password, and lets everyone stop workers.
  `set_defaults` changes that before Flower reads the environment, its arguments and its file, so
  that each of them wins. `refuse_unsafe_options` checks the result before Flower listens: without a
  password it must be read-only, and for this machine only. tests/acceptance/test_flower.py.
- Flower's own metrics need no password where its pages need one: `_guard_metrics`.
- It shows results in quotes, and tracebacks of Celery's code for a retry: `format_task`.
- Its menu has no setting for a link: `link_console` adds an entry to its template. A menu without
  the expected end stays as it is; tests/unit/console/test_flower_link.py.
"""

from __future__ import annotations

import sys
from ast import literal_eval
from html import escape
from pathlib import Path
from typing import Any

import click
from celery.signals import import_modules
from tornado.options import options
from tornado.template import DictLoader
from tornado.web import authenticated

from connect_worker.exceptions import SettingsError
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.environment import is_loopback
from tasks.celery_support.bootstrap import settings, start_refused

MENU = "navbar.html"
#: The end of the menu's list of Flower's own pages.
MENU_END = "</ul>"


def link_console() -> None:
    """Add the link if Flower is installed: the `celery` command has then loaded it already."""
    if "flower.urls" not in sys.modules:
        return
    try:
        url = settings().console_url
    except SettingsError:
        # The code that needs the settings reports what is wrong with them.
        return
    if url:
        from flower.urls import settings as flower_settings

        add_link(flower_settings, url)


def add_link(flower_settings: dict[str, Any], url: str) -> None:
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


link_console()

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
    """Set the defaults if Flower is installed: the `celery` command has then loaded it already.

    Raises:
        SystemExit: The environment is malformed.
    """
    if "flower.options" not in sys.modules:
        return
    options.address = "127.0.0.1"
    options.read_only = True
    options.tasks_columns = COLUMNS
    options.format_task = format_task
    try:
        auth = settings().flower_auth
    except SettingsError as error:
        raise start_refused(error) from None
    if auth:
        options.basic_auth = [auth]
    _guard_metrics()


def _guard_metrics() -> None:
    """Ask for the password for Flower's own metrics too; they name workers and tasks."""
    from flower.urls import handlers
    from flower.views.monitor import Metrics

    class GuardedMetrics(Metrics):  # type: ignore[misc]  # Flower has no types
        get = authenticated(Metrics.get)

    handlers.insert(0, (r"/metrics", GuardedMetrics))


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
    # An empty one comes from a variable that a compose file or a shell script left unset.
    options.basic_auth = [item for item in options.basic_auth if item]
    if reason := unsafe_reason(options):
        raise start_refused(f"Flower does not start: {reason}")


def unsafe_reason(options: Any) -> str:
    """Return why Flower must not start with these options; "" when it may."""
    for item in options.basic_auth:
        user, _, password = item.partition(":")
        if not (user and password and item.isascii()):
            return (
                "its password must be given as user:password, in ASCII "
                "(FLOWER_BASIC_AUTH, CONNECT_FLOWER_AUTH)"
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
