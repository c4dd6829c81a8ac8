"""The console is readable: on a phone and a desk, in the light and in the dark, and for all."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Browser

from connect_worker.domain.states import RequestKey, RequestKind
from tests.support.browser import Window, needs_chromium
from tests.support.console_client import Served
from tests.support.console_data import ConsoleData

pytestmark = needs_chromium

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0001")

#: Fields and buttons that a screen reader could not name.
NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, svg")]
    .filter((it) => !(it.labels?.length || it.ariaLabel || it.textContent.trim()))
    .map((it) => it.outerHTML)"""
#: Texts whose contrast is below WCAG's 4.5 : 1; those that stand for nothing aside.
FAINT = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, share, at) => {
        const part = color[at] / 255;
        return sum + share * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
    const ground = (it) => {
        for (; it; it = it.parentElement) {
            const color = rgba(getComputedStyle(it).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
    };
    const faint = [];
    for (const it of document.querySelectorAll("body *")) {
        const own = [...it.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        const isLesser = it.closest(".none, .no-processor, title, option");
        if (!own || isLesser || !it.checkVisibility()) continue;
        const style = getComputedStyle(it);
        const text = light(rgba(it.closest("svg") ? style.fill : style.color));
        const under = light(ground(it));
        const contrast = (Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05);
        if (contrast < 4.5) faint.push(`${it.outerHTML} ${contrast.toFixed(2)}`);
    }
    return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_readable(
    browser: Browser,
    served: Served,
    scene: ConsoleData,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    """Nothing is wider than the screen, texts stand out, all fields and buttons have names."""
    scene.day({RequestKind.FULFILLMENT: 3})
    scene.park(PR, "ValueError: " + "x" * 300, at=scene.now - 60, product="PRD-000-000-001")
    with browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    ) as context:
        window = Window(context, served.url)
        window.sign_in()
        for path in ("/", "/requests", f"/request?id={PR.id}"):
            window.go(path)
            assert window.page.evaluate("document.documentElement.scrollWidth") <= width
            assert window.page.evaluate(NAMELESS) == []
            assert window.page.evaluate(FAINT) == []
        assert window.complaints == []
