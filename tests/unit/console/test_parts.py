"""The console's parts that need no server: whom it believes, how often one tries, what is drawn."""

from __future__ import annotations

import math

import pytest

from connect_worker.console.charts import HEIGHT, TOP, WIDTH, last_day
from connect_worker.console.security import (
    IDLE_SECONDS,
    MAX_PENDING,
    SESSION_SECONDS,
    Sessions,
    is_own_origin,
    is_password,
    is_wanted_load,
    keep_newest,
    local_path,
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


def own(host: str = "127.0.0.1:8765", url: str = "", **headers: str) -> bool:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return is_own_origin(sent, host, url)


def test_an_origin_is_the_one_that_was_asked() -> None:
    assert own()
    assert own(Origin="http://127.0.0.1:8765", Sec_Fetch_Site="same-origin")
    assert own(Referer="http://127.0.0.1:8765/requests?state=all")
    assert own(host="127.0.0.1", Origin="http://127.0.0.1:80")


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Origin": origin}
            for origin in (
                *("https://127.0.0.1:8765", "http://127.0.0.1:8766", "http://127.0.0.1"),
                *("https://", "http://", "null", "", "http://[", "http://127.0.0.1:99999"),
                *("http://a@127.0.0.1:8765", "ftp://127.0.0.1:8765", "//127.0.0.1:8765"),
                *("127.0.0.1:8765", "http://localhost:8765", "http://127.0.0.1:8765,http://x"),
            )
        ),
        {"Origin": "http://127.0.0.1:8765", "Sec_Fetch_Site": "cross-site"},
        {"Referer": "https://elsewhere.example/http://127.0.0.1:8765/"},
        {"Referer": "https://127.0.0.1:8765/requests"},
        {"Referer": ""},
        {"Referer": "http://127.0.0.1:8765/", "Origin": "null"},
    ],
)
def test_another_origin_is_none_of_the_consoles(headers: dict[str, str]) -> None:
    assert not own(**headers)


def test_behind_a_proxy_the_origin_is_the_public_address() -> None:
    url = "https://Console.example.com/"
    for host in ("console.example.com", "127.0.0.1:8765", "console.example.com:443"):
        assert own(host, url, Origin="https://console.example.com")
        assert own(host, url, Origin="https://console.example.com:443")
        assert own(host, url, Referer="https://console.example.com/requests")
        for other in ("http://console.example.com", "https://console.example.com:8443"):
            assert not own(host, url, Origin=other)
            assert not own(host, url, Referer=f"{other}/")
    # People on the machine itself, or through a tunnel.
    assert own("127.0.0.1:9000", url, Origin="http://127.0.0.1:9000")
    assert not own("127.0.0.1:9000", url, Origin="https://127.0.0.1:9000")


def test_a_page_is_loaded_by_the_console_or_by_a_person() -> None:
    assert is_wanted_load({})
    assert is_wanted_load({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"})
    assert is_wanted_load({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"})
    assert is_wanted_load({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"})
    for dest in ("image", "iframe", "empty", "script"):
        assert not is_wanted_load({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": dest})
        assert not is_wanted_load({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": dest})


def test_a_long_path_leads_home() -> None:
    assert local_path("/requests?error=" + "x" * 1900) != "/"
    assert local_path("/requests?error=" + "x" * 2000) == "/"


def test_a_password_is_compared_whole() -> None:
    assert is_password("grün & gut", "grün & gut")
    for other in ("grün & gu", "grün & gut ", "", "\ud800"):
        assert not is_password(other, "grün & gut")


def test_a_session_ends_by_itself() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    name = sessions.begin("anna")
    for _ in range(round(SESSION_SECONDS / IDLE_SECONDS * 2) - 1):
        clock.step(IDLE_SECONDS / 2)
        sessions.touch(name)
    assert sessions.find(name) is not None
    clock.step(IDLE_SECONDS / 2)
    assert sessions.find(name) is None


def test_a_session_that_nobody_uses_ends_sooner() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    name = sessions.begin("anna")
    clock.step(IDLE_SECONDS - 1)
    assert sessions.find(name) is not None
    clock.step(1)
    sessions.touch(name)
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
