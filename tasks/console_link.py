"""A link to the console in Flower's menu, where `CONNECT_CONSOLE_URL` says where it is.

Flower has no setting for one. Its templates are read once, the menu's gets an entry, and Flower is
given them as Tornado's `template_loader`; a menu that looks otherwise than expected stays as it is.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Any

from tornado.template import DictLoader

from connect_worker.exceptions import SettingsError
from connect_worker.logger import LogEvent, logger
from tasks.wiring import settings

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
        logger.warning(LogEvent("flower menu unknown", missing="the link to the console"))
        return
    # Braces would be template code.
    address = escape(url.replace("{", "%7B").replace("}", "%7D"))
    entry = f'<li class="nav-item"><a class="nav-link" href="{address}">Console</a></li>\n      '
    of_flower["template_loader"] = DictLoader({**texts, MENU: before + entry + end + after})


link_console()
