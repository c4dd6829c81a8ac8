"""The console's parts that need no server: whom it believes, how often one tries, what is drawn."""

from __future__ import annotations

import math

import pytest

from connect_worker.console.charts import HEIGHT, TOP, WIDTH, last_day
from connect_worker.console.security import (
    MAX_PENDING,
    MAX_WRONG,
    MAX_WRONG_PER_ADDRESS,
    SESSION_SECONDS,
    WINDOW_SECONDS,
    Sessions,
    Throttle,
    is_known_host,
    is_own_origin,
    is_password,
    keep_newest,
)
from connect_worker.domain.metrics import BOUNDS_MS, Durations, HourlyCompletions
from connect_worker.domain.states import RequestKind
from connect_worker.settings.environment import is_loopback
from tests.support.ledger_factories import Clock

HOURS = 24


def hours(*counts: dict[float, int]) -> list[HourlyCompletions]:
    """The last day; what is not given was quiet."""
    quiet: list[dict[float, int]] = [{}] * (HOURS - len(counts))
    return [
        HourlyCompletions(3600.0 * number, {kind: Durations(found) for kind in RequestKind})
        for number, found in enumerate([*quiet, *counts])
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((own, True) for own in ("127.0.0.1", "127.8.8.8", "::1", "localhost")),
        *((any_one, False) for any_one in ("0.0.0.0", "::", "10.0.0.7", "localhost.example", "")),
    ],
)
def test_an_address_is_this_machines_own_or_not(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_host_is_known_by_the_consoles_address() -> None:
    url = "https://Console.example.com:8443/"
    assert is_known_host("console.example.com", url)
    assert is_known_host("CONSOLE.example.com:8443", url)
    assert not is_known_host("console.example.com.evil.example", url)
    assert not is_known_host("user@evil.example", url)
    assert not is_known_host("", "")


def test_an_origin_is_the_one_that_was_asked() -> None:
    def own(origin: str | None, site: str | None = None, url: str = "") -> bool:
        return is_own_origin(origin, site, "127.0.0.1:8765", url)

    assert own(None)
    assert own("http://127.0.0.1:8765", "same-origin")
    assert own("https://console.example.com", url="https://console.example.com/")
    assert not own("http://127.0.0.1:8766")
    assert not own("http://127.0.0.1:8765", "cross-site")
    assert not own("null")
    assert not own("")
    assert not own("http://[")


def test_a_password_is_compared_whole() -> None:
    assert is_password("grün & gut", "grün & gut")
    for other in ("grün & gu", "grün & gut ", "", "\ud800"):
        assert not is_password(other, "grün & gut")


def test_wrong_passwords_count_for_a_minute() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(MAX_WRONG_PER_ADDRESS):
        assert throttle.wait_seconds("a") == 0
        throttle.record_wrong("a")
    assert throttle.wait_seconds("a") == WINDOW_SECONDS
    assert throttle.wait_seconds("b") == 0
    clock.step(WINDOW_SECONDS - 1)
    assert throttle.wait_seconds("a") == pytest.approx(1)
    clock.step(1)
    assert throttle.wait_seconds("a") == 0


def test_many_addresses_together_wait_too() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(MAX_WRONG):
        throttle.record_wrong(f"10.0.0.{number}")
    assert throttle.wait_seconds("10.0.1.1") == WINDOW_SECONDS


def test_a_session_ends_by_itself() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    name = sessions.begin("anna")
    clock.step(SESSION_SECONDS - 1)
    assert sessions.find(name) is not None
    clock.step(1)
    assert sessions.find(name) is None


def test_a_session_keeps_the_newest_questions() -> None:
    pending: dict[str, int] = {}
    for number in range(MAX_PENDING + 2):
        keep_newest(pending, str(number), number)
    assert list(pending.values()) == list(range(2, MAX_PENDING + 2))


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {0.01: 1},
        {math.inf: 7},
        {bound / 1000: 3 for bound in BOUNDS_MS},
        {5.0: 1_234_567},
    ],
)
def test_a_plot_stays_within_its_frame(counts: dict[float, int]) -> None:
    day = last_day(RequestKind.USAGE, hours(counts, {}, counts))
    assert day.completed == 2 * sum(counts.values())
    for plot in (day.throughput, day.latency):
        assert 1 < len(plot.lines) <= 9
        assert all(TOP <= line.y <= HEIGHT for line in plot.lines)
        assert len(plot.bars) == (2 if counts else 0)
        for bar in plot.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert TOP - 3 <= bar.y <= bar.y + bar.height <= HEIGHT


def test_a_bar_is_as_high_as_its_hour_was_busy() -> None:
    low, high = last_day(RequestKind.USAGE, hours({1.0: 10}, {1.0: 20})).throughput.bars
    assert high.height == pytest.approx(2 * low.height)
    assert high.x > low.x
    assert low.text.endswith("22:00: 10")
    fast, slow = last_day(RequestKind.USAGE, hours({1.0: 10}, {600.0: 10})).latency.bars
    assert slow.y < fast.y
