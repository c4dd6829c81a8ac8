"""Texts of others are texts: canaries wherever a customer, a vendor or Connect can write."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.support.console_client import ConsoleClient, Served
from tests.support.console_data import ConsoleData, evil

from .canaries import PARKED, pages, plant


class Markup(HTMLParser):
    """What a browser would make of a page: its elements, and the texts in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.odd: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: text or "" for name, text in attrs}
        self.texts += given.values()
        is_ours = given.get("src", "").startswith("/static/")
        if (tag in ("script", "img") and not is_ours) or tag in ("style", "iframe", "object"):
            self.odd.append(f"<{tag} {given}>")
        self.odd += [name for name in given if name.startswith("on") or "canary" in name]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def shows(self, place: str) -> bool:
        return any(f"canary('{place}')" in text for text in self.texts)


def test_a_canary_is_found_where_it_is_not_escaped() -> None:
    for page in (f"<p>{evil('x')}</p>", f'<input value="{evil("x")}">', f"<a href='{evil('x')}'>"):
        assert len(Markup(page).odd) >= 2


@pytest.mark.parametrize("path", pages())
def test_what_others_wrote_is_shown_and_does_nothing(
    operator: ConsoleClient, scene: ConsoleData, path: str
) -> None:
    plant(scene)
    markup = Markup(operator.get(path).text)
    assert markup.odd == []
    assert [place for place in pages()[path] if not markup.shows(place)] == []
    part = operator.get(f"{path}{'&' if '?' in path else '?'}part=live")
    assert Markup(part.text).odd == []


def test_the_question_and_the_answer_show_it_as_text(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    plant(scene)
    question = operator.ask("rerun", PARKED)
    answer = operator.agree(question).text
    gone = operator.ask("rerun", f"usage:{evil('gone')}", back=f"/{evil('back')}")
    for page, places in ((question, ("id", "error")), (answer, ("id",)), (gone, ("gone", "back"))):
        markup = Markup(page)
        assert markup.odd == []
        assert all(map(markup.shows, places))


def test_a_name_is_a_text_too_and_its_log_line_one_line(served: Served, scene: ConsoleData) -> None:
    visitor = served.visitor()
    visitor.sign_in(who="<script>canary('who')</script>\n\x1b[2J{}")
    page = visitor.page("/")
    assert Markup(page).odd == []
    assert Markup(page).shows("who")
    assert "\x1b" not in page
    assert "\x1b" not in served.log()
