"""Debian's Chromium without a screen, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .console_client import PASSWORD

CHROMIUM = shutil.which("chromium")

needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@contextmanager
def running_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container root has no sandbox of Chromium's; it sees this machine's pages only.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """One window, in which canaries and complaints of the browser are heard."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url.rstrip("/")
        #: Places whose canary has sung.
        self.heard: list[str] = []
        #: Errors of scripts, and what the policy has blocked.
        self.complaints: list[str] = []
        context.expose_function("canary", lambda place: self.heard.append(place))
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._note(said.type, said.text))

    def go(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def sign_in(self, who: str = "anna") -> None:
        self.go("/")
        self.page.get_by_label("Your name").fill(who)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def _note(self, kind: str, text: str) -> None:
        # A page that answers 404 or 503 is one on purpose.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.complaints.append(text)
