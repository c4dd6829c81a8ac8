"""The console in a real browser, with a sandbox and a real worker behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from connect_worker.devtools.embedded_redis import free_port, is_answering
from tests.support.browser import Window, needs_chromium
from tests.support.console_client import PASSWORD, ROOT
from tests.support.console_data import evil
from tests.support.fault_stack import FaultStack, running_fault_stack

pytestmark = [*needs_chromium, pytest.mark.acceptance, pytest.mark.slow]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    settings = {
        "CONNECT_PROCESSORS": str(ROOT / "tests/support/processors/fussy.py"),
        "CONNECT_MAX_ATTEMPTS": "1",
        "CONNECT_CONSOLE_PASSWORD": PASSWORD,
        "REPAIRED_FILE": str(tmp_path / "repaired"),
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        yield stack


def test_a_parked_request_with_a_script_in_its_data_is_seen_rerun_and_settled(
    browser: Browser, stack: FaultStack
) -> None:
    """A customer answers an inquiry with markup, and the vendor's system breaks at it."""
    stack.seed()
    request = {"kind": "fulfillment", "scenario": "missing-email"}
    (request_id,) = stack.control("POST", "requests", request)["ids"]
    stack.work()
    port = free_port()
    stack.start("console", "-m", "connect_worker", "console", "--port", str(port))
    stack.until_soon(lambda: is_answering(port), "the console listens")
    stack.until_soon(lambda: stack.entry(request_id)["status"] == "inquiring", "it is inquired")

    with browser.new_context() as context:
        window = Window(context, f"http://127.0.0.1:{port}")
        window.sign_in()
        page = window.page
        answer = {"params": {"email": evil("customer")}}
        stack.control("POST", f"requests/{request_id}/answer", answer)
        # The board tells by itself, and leads there.
        page.get_by_role("link", name="1 fulfillment request is parked").click(timeout=60_000)
        row = page.get_by_role("row", name=request_id)
        expect(row).to_contain_text(f"ValueError: no mailbox is called {evil('customer')}"[:80])
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Rerun").click()
        expect(page.get_by_role("heading", name="Rerun 1 request?")).to_be_visible()
        expect(page.get_by_text("canary('customer')")).to_be_visible()

        Path(stack.environment["REPAIRED_FILE"]).touch()
        page.get_by_role("button", name="Yes, rerun 1 request").click()
        expect(page.get_by_role("status")).to_contain_text("1 request queued")
        page.get_by_role("link", name=request_id).click()
        expect(page.locator("h1 .state")).to_have_text("completed", timeout=60_000)
        steps = page.locator(".timeline li .state").all_text_contents()
        assert steps[-4:] == ["queued", "running", "posting", "completed"]
        window.go("/")
        card = page.get_by_role("region", name="fulfillment")
        expect(card.get_by_role("img", name="Completed per hour")).to_be_visible()
        assert (window.heard, window.complaints) == ([], [])
    stack.until_done()
    entry = stack.entry(request_id)
    assert [item["action"] for item in entry["accepted"]] == ["inquire", "approve"]
    assert entry["vendor"]["effects"] == 1
