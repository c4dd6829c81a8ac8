"""What the pages show, and that they stay fast."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.domain.states import PollReport, RequestKey, RequestKind, State
from tests.support.console_client import ConsoleClient, serving, text_of
from tests.support.console_data import HOUR, ConsoleData

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0001")
UF = RequestKey(RequestKind.USAGE_FILE, "UF-2018-11-9878764342")


def numbers(page: str, kind: RequestKind) -> dict[str, int]:
    """The numbers of a kind's card."""
    card = page.partition(f'id="kind-{kind}"')[2].partition("</section>")[0]
    found = re.findall(r"<dt>(\w+)</dt>\s*<dd>(?:<a [^>]+>)?([\d,]+)", card)
    return {name: int(number.replace(",", "")) for name, number in found}


def ids(page: str) -> list[str]:
    """The requests of a list, in their order."""
    return re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', page)


def park_many(scene: ConsoleData, number: int) -> list[str]:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{item:05}") for item in range(number)]
    for place, ref in enumerate(refs):
        scene.park(ref, "broken", at=scene.now - 1000 + place)
    return [ref.id for ref in refs]


def test_the_board_has_the_numbers_of_each_kind(visitor: ConsoleClient, scene: ConsoleData) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    scene.begin(RequestKey(RequestKind.FULFILLMENT, "PR-1"), at=scene.now - 300)
    scene.settle(UF, at=scene.now, took=3)
    scene.ledger.record_poll(RequestKind.FULFILLMENT, PollReport(seconds=0.5, seen=1234, new=3))
    scene.ledger.pause("usage", reason="until 9")
    page = visitor.page("/")
    assert numbers(page, RequestKind.FULFILLMENT) == {
        "Queued": 1,
        "Running": 0,
        "Retry": 0,
        "Snoozed": 0,
        "Decided": 0,
        "Posting": 0,
        "Parked": 1,
    }
    text = text_of(page)
    assert re.findall(r"(\d+) ended today", text) == ["0", "0", "1", "0"]
    assert "1 fulfillment request is parked" in text
    assert "tier-config has never been polled: check that beat runs" in text
    assert "1,234 pending" in text
    assert "oldest waits 5 min" in text
    assert re.search(r"Paused usage, (from now on|for \d+ s) \(until 9\)", text)


def test_the_last_day_is_plotted_and_is_a_table_too(
    visitor: ConsoleClient, scene: ConsoleData
) -> None:
    this_hour = scene.now // HOUR * HOUR
    for number, took in enumerate([1.0, 1.0, 1.0, 50.0]):
        ref = RequestKey(RequestKind.FULFILLMENT, f"PR-{number}")
        scene.settle(ref, at=this_hour - 2 * HOUR + 60, took=took)
    scene.settle(PR, at=this_hour, took=0.2)
    # Too long ago for the last day.
    scene.settle(RequestKey(RequestKind.FULFILLMENT, "PR-9"), at=this_hour - 24 * HOUR, took=1)
    page = visitor.page("/")
    assert "Last 24 hours: 5 completed" in text_of(page)
    assert len(re.findall(r"<title>\d\d \w{3} \d\d:00: \d+</title>", page)) == 2
    rows = re.findall(r'<tr><th scope="row">[^<]+</th>(.*?)</tr>', page)
    assert [text_of(row) for row in rows] == ["4 833 ms 52 s", "1 150 ms 195 ms"]


def test_a_number_leads_to_the_requests_that_it_counts(
    visitor: ConsoleClient, scene: ConsoleData
) -> None:
    scene.begin(PR, at=scene.now - 90, product="PRD-000-000-001")
    scene.claim(PR, at=scene.now - 60)
    (href,) = re.findall(r'<a href="(/requests\?state=running[^"]*)"', visitor.page("/"))
    page = visitor.page(href.replace("&amp;", "&"))
    assert ids(page) == [PR.id]
    assert "running fulfillment PRD-000-000-001 90 s 1" in text_of(page)


def test_parked_requests_are_listed_with_their_reasons(
    visitor: ConsoleClient, scene: ConsoleData
) -> None:
    scene.park(PR, "VendorDown: no answer", at=scene.now - 7200, product="PRD-000-000-001")
    scene.park(UF, "BadSheet: row 17", at=scene.now - 60)
    page = visitor.page("/requests")
    assert ids(page) == [PR.id, UF.id]
    assert "parked fulfillment PRD-000-000-001 2 h 3 VendorDown: no answer" in text_of(page)
    assert 'type="checkbox"' not in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=usage-file", [UF.id]),
        ("product=PRD-1", [PR.id]),
        ("error=vendordown", [PR.id]),
        ("id=UF-", [UF.id]),
        ("order=newest", [UF.id, PR.id]),
        ("kind=usage", []),
        ("error=*", []),
        ("state=running", []),
        ("state=active", []),
        ("state=all&order=newest", [UF.id, PR.id]),
        ("page=99999999999999999999", [PR.id, UF.id]),
        ("page=" + "9" * 5000, [PR.id, UF.id]),
        ("page=-1", [PR.id, UF.id]),
        ("page=²", [PR.id, UF.id]),
    ],
)
def test_a_list_is_filtered_by_its_address(
    visitor: ConsoleClient, scene: ConsoleData, query: str, expected: list[str]
) -> None:
    scene.park(PR, "VendorDown: no answer", at=scene.now - 60, product="PRD-1")
    scene.park(UF, "BadSheet: row 17", at=scene.now - 30)
    assert ids(visitor.page(f"/requests?{query}")) == expected


@pytest.mark.parametrize("query", ["state=settled", "state=pending", "kind=nothing"])
def test_a_filter_that_there_is_not_is_refused(visitor: ConsoleClient, query: str) -> None:
    answer = visitor.get(f"/requests?{query}")
    assert answer.status_code == 400
    assert "There is no such state or kind" in answer.text


def test_a_long_list_has_pages(visitor: ConsoleClient, scene: ConsoleData) -> None:
    names = park_many(scene, 120)
    first = visitor.page("/requests?kind=fulfillment")
    assert ids(first) == names[:50]
    assert "1–50 of 120" in first
    (href,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = visitor.page(href.replace("&amp;", "&"))
    assert ids(second) == names[50:100]
    assert ids(visitor.page("/requests?kind=fulfillment&page=3")) == names[100:]
    newest = visitor.page("/requests?order=newest&page=3")
    assert ids(newest) == names[:20][::-1]
    assert 'rel="next"' not in newest
    assert ids(visitor.page("/requests?error=BROKEN&page=3")) == names[100:]


def test_a_page_of_ten_thousand_reads_only_its_own(
    visitor: ConsoleClient, scene: ConsoleData, client: redis.Redis
) -> None:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{item:05}") for item in range(10_000)]
    scene.park(refs[0], "broken", at=scene.now - 60)
    with client.pipeline() as pipeline:
        for place, ref in enumerate(refs[1:]):
            pipeline.copy(scene.key(f"request:{refs[0]}"), scene.key(f"request:{ref}"))
            pipeline.zadd(scene.key("parked"), {str(ref): scene.now * 1000 + place})
        pipeline.execute()
    client.config_resetstat()
    page = visitor.live("/requests?page=100")
    assert len(ids(page)) == 50
    assert "4,951–5,000 of 10,000" in page
    calls = client.info("commandstats")["cmdstat_hgetall"]["calls"]
    assert calls == 50
    found = visitor.get("/requests?error=brok&page=200")
    assert "9,951–10,000 of 10,000" in found.text
    # A tenth of that without others on the machine.
    assert found.elapsed.total_seconds() < 10


def test_a_request_has_its_story(visitor: ConsoleClient, scene: ConsoleData) -> None:
    decision = {"decision": {"type": "approve", "params": [{"id": "key", "value": "s3cr3t"}]}}
    scene.park(PR, "[400] no", at=scene.now - 60, product="PRD-1", decision=decision)
    page = visitor.page(f"/request?id={PR.id}")
    text = text_of(page)
    steps = re.findall(r'<li class="(\w+)">', page)
    assert steps == ["queued", *["running", "retry"] * 2, "running", "posting", "parked"]
    assert "Product PRD-1" in text
    assert "Last error [400] no" in text
    assert "running after 1 s worker-7c9d:4711" in text
    assert "&quot;approve&quot;" in page
    assert "s3cr3t" not in page
    assert 'value="rerun"' not in page


def test_of_a_listing_the_latest_period_is_shown_and_the_others_are_named(
    visitor: ConsoleClient, scene: ConsoleData
) -> None:
    for month in ("10", "11"):
        ref = RequestKey(RequestKind.USAGE, f"LST-066-644-910@2026-{month}")
        scene.begin(ref, at=scene.now, cycle=f"2026-{month}")
    page = visitor.page("/request?id=LST-066-644-910")
    assert "LST-066-644-910@2026-11 queued" in text_of(page)
    assert 'href="/request?id=LST-066-644-910%402026-10"' in page


@pytest.mark.parametrize("name", ["PR-0", ""])
def test_a_request_that_there_is_not_is_reported(visitor: ConsoleClient, name: str) -> None:
    answer = visitor.get(f"/request?id={name}")
    assert answer.status_code == 404
    assert f"No request {name}" in text_of(answer.text)


@pytest.mark.parametrize("path", ["/", "/requests", f"/request?id={PR.id}"])
def test_what_is_polled_is_a_small_part_of_the_page(
    visitor: ConsoleClient, scene: ConsoleData, path: str
) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    part = visitor.live(path)
    assert '<div id="live"' in part
    assert "<html" not in part
    assert "<header" not in part


def test_a_ledger_that_is_away_is_said_so_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with serving(url, tmp_path) as served:
        visitor = served.visitor()
        for path in ("/", "/requests?part=live", "/request?id=PR-1"):
            answer = visitor.get(path)
            assert answer.status_code == 503
            assert "Redis can't be reached: check that it runs" in text_of(answer.text)
            assert "Traceback" not in answer.text
        assert '<meta http-equiv="refresh"' in visitor.get("/").text
        with embedded_redis(port):
            assert "Nothing was completed" in visitor.page("/")
        assert visitor.get("/").status_code == 503
        assert "console.ledger_unavailable" in served.log()


def test_the_health_of_the_console_is_its_own(visitor: ConsoleClient) -> None:
    # A probe names the pod by its address.
    answer = visitor.get("/healthcheck", headers={"Host": "10.0.0.7:8765"})
    assert (answer.status_code, answer.text) == (200, "OK")


def test_the_state_of_a_request_is_the_ledgers(visitor: ConsoleClient, scene: ConsoleData) -> None:
    scene.settle(PR, at=scene.now, took=1)
    assert f"{PR.id} {State.COMPLETED}" in text_of(visitor.page(f"/request?id={PR.id}"))


def test_a_corrupt_record_hides_no_other_and_can_be_looked_at(
    visitor: ConsoleClient, scene: ConsoleData, client: redis.Redis
) -> None:
    scene.park(PR, "broken", at=scene.now - 60)
    scene.begin(UF, at=scene.now - 300)
    client.set(scene.key(f"request:{PR}"), "no hash")
    client.hdel(scene.key(f"request:{UF}"), "s")
    assert ids(visitor.page("/requests?state=parked")) == [PR.id]
    assert set(ids(visitor.page("/requests?state=all"))) == {PR.id, UF.id}
    text = text_of(visitor.page(f"/request?id={PR.id}"))
    assert "its key in Redis holds no hash; look at the request in Connect" in text
    assert "1 fulfillment request is parked" in text_of(visitor.page("/"))
