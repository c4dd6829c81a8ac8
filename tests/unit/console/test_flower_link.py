"""Flower leads to the console, and the console to Flower."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from flower.urls import settings as of_flower

from tasks.celery_support.flower import MENU, link_console
from tests.support.console_client import serving
from tests.support.stack import running_stack

CONSOLE = "http://127.0.0.1:8765/"


@pytest.mark.slow
@pytest.mark.acceptance
def test_each_page_of_flower_has_the_link(tmp_path: Path) -> None:
    with running_stack(tmp_path, CONNECT_CONSOLE_URL=CONSOLE) as stack:
        stack.start_flower()
        for path in ("workers", "tasks", "broker"):
            page = requests.get(f"{stack.flower_url}/{path}", auth=stack.flower_auth, timeout=10)
            assert page.status_code == 200
            assert f'<a class="nav-link" href="{CONSOLE}">Console</a>' in page.text
            # In the list of Flower's own pages, as the last one.
            pages = page.text.partition("</ul>")[0]
            assert pages.index(">Broker<") < pages.index(">Console<")


def test_the_console_has_a_link_to_flower(redis_url: str, tmp_path: Path) -> None:
    flower = "https://flower.example.com/?a=1&b=<'\">"
    with serving(redis_url, tmp_path, CONNECT_FLOWER_URL=flower) as served:
        page = served.visitor().page("/")
    (href,) = re.findall(r'<a href="(https://flower[^"]*)"', page)
    assert href == "https://flower.example.com/?a=1&amp;b=&lt;&#x27;&quot;&gt;"


def test_an_odd_address_is_no_markup_and_no_template_code() -> None:
    settings = dict(of_flower)
    link_console(settings, 'http://console/{{ 1 / 0 }}{% raw x %}"><script>')
    code = settings["template_loader"].load(MENU).code
    assert "%7B%7B 1 / 0 %7D%7D" in code
    assert "&quot;&gt;&lt;script&gt;" in code


def test_a_menu_that_is_not_known_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("<nav>Flower</nav>", None):
        if text:
            (tmp_path / MENU).write_text(text)
        settings: dict[str, Any] = {"template_path": str(tmp_path)}
        link_console(settings, CONSOLE)
        assert "template_loader" not in settings
    assert "flower.menu_unknown" in caplog.text
