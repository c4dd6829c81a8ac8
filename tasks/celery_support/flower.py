"""Flower's start: for this machine, for looking only, and readable.

What Flower does by itself (every address, write access, no password) is changed before it reads the
environment, its arguments and its own file, so that each of them wins. What came of all that is
judged before it listens: without a password nothing but looking, and from this machine alone.
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
from connect_worker.operations.webserver import is_loopback
from tasks.celery_support.bootstrap import settings

# A link to the console in Flower's menu, where `CONNECT_CONSOLE_URL` says where it is.
#
# Flower has no setting for one. Its templates are read once, the menu's gets an entry, and Flower
# is
# given them as Tornado's `template_loader`; a menu that looks otherwise than expected stays as it
# is.

MENU = "navbar.html"
#: Where the list of Flower's own pages ends.
END = "</ul>"


def link_console() -> None:
    """Put the link where Flower is: every `celery` command has loaded it by now."""
    if "flower.urls" not in sys.modules:
        return
    try:
        url = settings().console_url
    except SettingsError:
        # Whoever needs the settings says what is wrong with them.
        return
    if url:
        from flower.urls import settings as of_flower

        add_link(of_flower, url)


def add_link(of_flower: dict[str, Any], url: str) -> None:
    """Give Flower's application templates with the link; leave it alone when there is no place."""
    folder = Path(of_flower["template_path"])
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.html")}
    before, end, after = texts.get(MENU, "").partition(END)
    if not end:
        logger.warning(LogEvent("flower.menu_unknown", missing="the link to the console"))
        return
    # Braces would be template code.
    address = escape(url.replace("{", "%7B").replace("}", "%7D"))
    entry = f'<li class="nav-item"><a class="nav-link" href="{address}">Console</a></li>\n      '
    of_flower["template_loader"] = DictLoader({**texts, MENU: before + entry + end + after})


link_console()

#: What the table of jobs shows. A job's id begins with its request's, its result with the product.
COLUMNS = "name,uuid,state,result,received,runtime,worker"


def readable(task: Any) -> Any:
    """Give a job's row and page words: its result without quotes, else the error or the reason."""
    told = task.exception if task.state in ("RETRY", "FAILURE") else task.result
    task.result = _without_quotes(told)
    if task.state == "RETRY":
        # It would show Celery's calls and this project's, never what the processor did.
        task.traceback = None
    return task


def _without_quotes(told: object) -> object:
    try:
        value = literal_eval(told) if isinstance(told, str) else told
    except (ValueError, SyntaxError):
        return told
    return value if isinstance(value, str) else told


def set_defaults() -> None:
    """Set them where Flower is: every `celery` command has loaded it by now.

    Raises:
        SystemExit: The environment is malformed.
    """
    if "flower.options" not in sys.modules:
        return
    options.address = "127.0.0.1"
    options.read_only = True
    options.tasks_columns = COLUMNS
    options.format_task = readable
    try:
        auth = settings().flower_auth
    except SettingsError as error:
        raise SystemExit(f"connect-worker: {error}") from None
    if auth:
        options.basic_auth = [auth]
    _guard_metrics()


def _guard_metrics() -> None:
    """Ask for the password before Flower's own metrics too; they name workers and tasks."""
    from flower.urls import handlers
    from flower.views.monitor import Metrics

    class GuardedMetrics(Metrics):  # type: ignore[misc]  # Flower has no types
        get = authenticated(Metrics.get)

    handlers.insert(0, (r"/metrics", GuardedMetrics))


@import_modules.connect
def refuse_what_is_open(**_: Any) -> None:
    """Let Flower start only if nobody can do harm with it.

    Celery sends the signal when Flower has read all its options and listens nowhere yet.

    Raises:
        SystemExit: With the reason and the remedy.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    # A blank one is a variable that a compose file or a shell script left unset.
    options.basic_auth = [item for item in options.basic_auth if item]
    if why := problem(options):
        raise SystemExit(f"connect-worker: Flower does not start: {why}")


def problem(chosen: Any) -> str:
    """Return what is wrong with the options; "" for nothing."""
    for item in chosen.basic_auth:
        user, _, password = item.partition(":")
        if not (user and password and item.isascii()):
            return (
                "its password must be given as user:password, in ASCII "
                "(FLOWER_BASIC_AUTH, CONNECT_FLOWER_AUTH)"
            )
    if chosen.basic_auth or chosen.auth:
        return ""
    remedy = "give it a user and a password, FLOWER_BASIC_AUTH=user:password"
    if not (chosen.unix_socket or is_loopback(chosen.address)):
        return f"everybody who reaches {chosen.address or 'any address'} could use it: {remedy}"
    if not chosen.read_only:
        return f"everybody on this machine could stop workers and send work: {remedy}"
    return ""


set_defaults()
