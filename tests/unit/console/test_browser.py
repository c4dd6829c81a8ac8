"""The console in a real browser, with hostile texts in it, without scripts, without a ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.browser import Window, needs_chromium
from tests.support.console_client import PASSWORD, Served, serving
from tests.support.console_data import ConsoleData, evil

from .canaries import pages, plant

pytestmark = needs_chromium

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0001")
OTHER = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0002")


@pytest.fixture
def window(browser: Browser, served: Served, scene: ConsoleData) -> Iterator[Window]:
    with browser.new_context() as context:
        window = Window(context, served.url)
        window.sign_in()
        yield window
        assert window.complaints == []
        assert window.heard == []


def test_a_canary_sings_where_nothing_holds_it(browser: Browser, served: Served) -> None:
    with browser.new_context() as context:
        window = Window(context, served.url)
        window.page.set_content(f"<p>{evil('here')}</p>")
        window.page.wait_for_timeout(200)
        assert set(window.heard) == {"here"}


@pytest.mark.slow
def test_no_canary_sings_on_any_page(window: Window, scene: ConsoleData) -> None:
    plant(scene)
    for path in pages():
        window.go(path)
        window.page.wait_for_load_state("networkidle")
    # Parts that are fetched are markup made by a script.
    window.go("/requests")
    with window.page.expect_response(lambda item: "part=live" in item.url, timeout=30_000):
        pass
    expect(window.page.locator("tbody tr")).to_have_count(1)


def test_a_script_that_got_into_a_page_would_not_run(window: Window) -> None:
    window.go("/")
    run = "() => { document.createElement('script').textContent = 'canary(1)' }"
    with pytest.raises(Exception, match="Trusted"):
        window.page.evaluate(run)
    with pytest.raises(Exception, match="Trusted"):
        window.page.evaluate("() => { document.body.innerHTML = '<b>x</b>' }")
    window.complaints.clear()


@pytest.mark.slow
def test_the_list_keeps_what_was_chosen_while_it_changes(
    window: Window, scene: ConsoleData
) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    page = window.page
    window.go("/requests")
    page.get_by_label(f"Select {PR.id}").check()
    expect(page.locator("#selected")).to_have_text("the 1 selected")
    scene.park(OTHER, "broken", at=scene.now - 30)
    expect(page.locator("tbody tr")).to_have_count(2, timeout=30_000)
    expect(page.get_by_label(f"Select {PR.id}")).to_be_checked()
    expect(page.get_by_label(f"Select {PR.id}")).to_be_focused()
    expect(page.get_by_label(f"Select {OTHER.id}")).not_to_be_checked()
    page.get_by_label("All on this page").check()
    expect(page.locator("#selected")).to_have_text("the 2 selected")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Yes, discard 2 requests").click()
    expect(page.get_by_role("status")).to_contain_text("2 requests discarded")
    page.get_by_role("link", name="Go back").click()
    expect(page.get_by_text("No requests are parked.")).to_be_visible()


def test_without_scripts_all_of_it_works(
    browser: Browser, served: Served, scene: ConsoleData
) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(served.url)
        page.get_by_label("Your name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Requests").click()
        page.get_by_label("Kind").select_option("fulfillment")
        page.get_by_role("button", name="Filter").click()
        page.get_by_label(f"Select {PR.id}").check()
        page.get_by_role("button", name="Rerun").click()
        page.get_by_role("button", name="Yes, rerun 1 request").click()
        page.get_by_role("link", name=PR.id).click()
        expect(page.locator("h1 .state")).to_have_text("queued")
    entry = scene.ledger.get_record(PR)
    assert entry is not None
    assert entry.state is State.QUEUED


def test_another_sites_form_changes_nothing(window: Window, scene: ConsoleData) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    fields = f'<input name="action" value="rerun"><input name="request" value="{PR}">'
    form = f'<form method="post" action="{window.url}/confirm">{fields}<button>Win!</button></form>'
    page = window.page
    elsewhere = {"body": form, "content_type": "text/html"}
    page.route("http://elsewhere.example/", lambda route: route.fulfill(**elsewhere))
    page.goto("http://elsewhere.example/")
    with page.expect_response(f"{window.url}/confirm") as answer:
        page.get_by_role("button", name="Win!").click()
    assert answer.value.status == 403
    window.complaints.clear()


@pytest.mark.long
def test_a_ledger_that_goes_away_leaves_the_page_and_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    port = free_port()
    with (
        serving(f"redis://127.0.0.1:{port}/0", tmp_path) as served,
        browser.new_context() as context,
    ):
        window = Window(context, served.url)
        with embedded_redis(port):
            window.go("/")
            expect(window.page.get_by_role("region", name="fulfillment")).to_be_visible()
        expect(window.page.locator("#stale")).to_contain_text(
            "Redis can't be reached", timeout=30_000
        )
        expect(window.page.get_by_role("region", name="fulfillment")).to_be_visible()
        window.go("/")
        expect(
            window.page.get_by_role("heading", name="The ledger does not answer")
        ).to_be_visible()
        with embedded_redis(port):
            expect(window.page.get_by_role("region", name="fulfillment")).to_be_visible(
                timeout=30_000
            )


def test_the_token_is_no_secret_of_the_address(window: Window) -> None:
    """What may change something is never part of an address, which proxies and histories keep."""
    window.go("/requests")
    links = window.page.locator("a").evaluate_all("all => all.map((one) => one.href)")
    assert not any(re.search("xsrf|token", link) for link in links)
    assert requests.get(window.url, timeout=30).url.endswith("/login?next=%2F")


def test_what_is_paused_on_the_board_goes_on_from_there(window: Window, scene: ConsoleData) -> None:
    window.go("/")
    page = window.page
    page.get_by_label("What to pause").fill("usages")
    page.get_by_role("button", name="Pause").click()
    # The browser refuses it before it is sent.
    assert page.evaluate("document.querySelector('[name=name]').validity.patternMismatch")
    page.get_by_label("What to pause").fill("PRD-000-000-001")
    page.get_by_label("Reason").fill("the vendor is down")
    page.get_by_role("button", name="Pause").click()
    resume = page.get_by_role("button", name="Resume PRD-000-000-001")
    expect(resume).to_be_visible()
    assert set(scene.ledger.pauses()) == {"PRD-000-000-001"}
    resume.click()
    expect(resume).to_have_count(0)
    assert scene.ledger.pauses() == {}
