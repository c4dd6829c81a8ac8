"""What people do here: asked first, done as agreed, reported, and logged."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from connect_worker.domain.states import ClaimDenied, RequestKey, RequestKind, State
from tests.support.console_client import ConsoleClient, Served, text_of
from tests.support.console_data import ConsoleData

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0001")
OTHER = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0002")
UF = RequestKey(RequestKind.USAGE_FILE, "UF-2018-11-9878764342")


def state(scene: ConsoleData, ref: RequestKey = PR) -> State:
    entry = scene.ledger.get_record(ref)
    assert entry is not None
    return entry.state


def park(
    scene: ConsoleData, *refs: RequestKey, error: str = "broken", decision: object = None
) -> None:
    for ref in refs:
        scene.park(ref, error, at=scene.now - 60, decision=decision)


def audited(served: Served, event: str) -> list[dict[str, Any]]:
    lines = [line for line in served.log().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"] == event]


def test_a_person_is_asked_before_and_informed_after(
    operator: ConsoleClient, served: Served, scene: ConsoleData
) -> None:
    park(scene, PR)
    question = operator.ask("rerun", PR)
    assert "Rerun 1 request?" in question
    assert f"{PR.id} broken" in text_of(question)
    assert state(scene) is State.PARKED
    answer = operator.agree(question)
    assert answer.history[0].status_code == 303
    assert "1 request queued: the next sweep has a worker run the processor" in text_of(answer.text)
    assert state(scene) is State.QUEUED
    assert audited(served, "console.rerun")[-1] | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "connect_worker.console",
        "event": "console.rerun",
        "request": PR.id,
        "kind": "fulfillment",
        "by": "anna",
        "address": "127.0.0.1",
    }
    # The page of the answer may be loaded again; what it tells is not done again.
    assert "1 request queued" in operator.page(answer.url)


def test_what_was_agreed_to_is_done_once(operator: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR)
    question = operator.ask("discard", PR)
    operator.agree(question)
    assert state(scene) is State.DISCARDED
    again = operator.agree(question)
    assert again.status_code == 409
    assert "choose again" in again.text


def test_a_stored_decision_is_posted_again(operator: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR, decision={"type": "approve"})
    park(scene, OTHER)
    question = operator.ask("repost", PR, OTHER)
    assert "Repost 1 request?" in question
    assert f"Not possible for 1 request {OTHER.id} no decision is stored" in text_of(question)
    operator.agree(question)
    assert (state(scene), state(scene, OTHER)) == (State.DECIDED, State.PARKED)


def test_a_discarded_request_is_taken_back_on_its_own_page(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    park(scene, PR)
    operator.agree(operator.ask("discard", PR))
    page = operator.page(f"/request?id={PR.id}")
    assert 'value="rerun"' in page
    assert 'value="discard"' not in page
    operator.agree(operator.ask("rerun", PR))
    assert state(scene) is State.QUEUED


def test_all_that_match_are_done_over_all_pages(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number:03}") for number in range(70)]
    park(scene, *refs, error="VendorDown: no answer")
    park(scene, PR, error="KeyError")
    park(scene, UF, error="VendorDown: no answer")
    fields = {"scope": "all", "kind": "fulfillment", "error": "vendordown"}
    question = operator.ask("rerun", **fields)
    assert "Rerun 70 requests?" in question
    assert "… and 50 more." in question
    # One that comes after the question was not agreed to.
    park(scene, OTHER, error="VendorDown: no answer")
    assert "70 requests queued" in operator.agree(question).text
    assert {state(scene, ref) for ref in refs} == {State.QUEUED}
    assert {state(scene, ref) for ref in (PR, UF, OTHER)} == {State.PARKED}


def test_what_changed_since_the_question_is_reported(
    operator: ConsoleClient, served: Served, scene: ConsoleData
) -> None:
    park(scene, PR, OTHER)
    question = operator.ask("discard", PR, OTHER)
    scene.ledger.rerun(PR)
    text = text_of(operator.agree(question).text)
    assert "1 request discarded" in text
    assert f"{PR.id} it is now queued" in text
    assert audited(served, "console.discard")[-2]["refused"] == "it is now queued"


def test_nothing_chosen_changes_nothing(operator: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR)
    assert "No request was selected." in operator.ask("rerun")
    gone = operator.ask("rerun", RequestKey(RequestKind.FULFILLMENT, "PR-0"))
    assert "Nothing to rerun" in gone
    assert "Not in the ledger PR-0" in text_of(gone)
    for fields in (
        [("action", "explode"), ("request", str(PR))],
        [("action", "rerun"), ("request", "x:y")],
    ):
        assert operator.post("/confirm", fields).status_code == 400
    assert operator.post("/execute", {"token": "guessed"}).status_code == 409
    assert state(scene) is State.PARKED


def test_a_plan_is_of_the_session_that_was_asked(served: Served, scene: ConsoleData) -> None:
    park(scene, PR)
    anna, boris = served.operator("anna"), served.operator("boris")
    question = anna.ask("rerun", PR)
    boris.page("/requests")
    assert boris.agree(question).status_code == 409
    assert state(scene) is State.PARKED
    assert anna.agree(question).status_code == 200


def test_a_list_leads_back_to_itself(operator: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR)
    question = operator.ask("rerun", PR, back="/requests?kind=fulfillment&page=2")
    assert 'href="/requests?kind=fulfillment&amp;page=2"' in question
    elsewhere = operator.ask("rerun", PR, back="https://elsewhere.example/")
    assert "elsewhere" not in elsewhere


def test_a_pause_holds_until_it_is_ended(
    operator: ConsoleClient, served: Served, scene: ConsoleData
) -> None:
    operator.page("/")
    answer = operator.post("/pause", {"name": "usage", "reason": "<down> until 9"})
    assert answer.history[0].status_code == 303
    assert "Paused usage" in text_of(answer.text)
    assert "(<down> until 9)" in text_of(answer.text)
    assert {name: item.reason for name, item in scene.ledger.pauses().items()} == {
        "usage": "<down> until 9"
    }
    line = audited(served, "console.pause")[-1]
    assert (line["name"], line["reason"], line["by"]) == ("usage", "<down> until 9", "anna")
    assert operator.live("/").count("<form") == 1
    answer = operator.post("/resume", {"name": "usage"})
    assert "Paused usage" not in text_of(answer.text)
    assert scene.ledger.pauses() == {}
    assert audited(served, "console.resume")[-1]["name"] == "usage"


def test_a_product_can_be_paused_and_what_is_none_can_not(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    operator.page("/")
    for name in ("", "usages", "prd-1", "*"):
        answer = operator.post("/pause", {"name": name})
        assert answer.status_code == 400
        assert "Name all, a kind of request or a product" in answer.text
    assert operator.post("/pause", {"name": "PRD-000-000-001"}).status_code == 200
    assert set(scene.ledger.pauses()) == {"PRD-000-000-001"}
    # What is not paused may be resumed.
    assert operator.post("/resume", {"name": "usage"}).status_code == 200


def test_a_name_that_is_too_long_pauses_nothing(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    operator.page("/")
    for length, status in ((100, 200), (101, 400), (4000, 400), (200_000, 400)):
        answer = operator.post("/pause", {"name": "PRD-".ljust(length, "x")})
        assert answer.status_code == status
    assert "100 characters" in operator.post("/pause", {"name": "PRD-" + "x" * 200}).text
    assert set(scene.ledger.pauses()) == {"PRD-".ljust(100, "x")}


def test_a_long_name_from_before_is_shown_short_and_can_be_resumed(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    name = "PRD-" + "<x>" * 70_000
    scene.ledger.pause(name)
    scene.begin(PR, at=scene.now - 60, product=name)
    assert scene.ledger.claim(PR, owner="w:1", lease_seconds=60) is ClaimDenied.OPERATOR_PAUSE
    for path in ("/", f"/request?id={PR.id}", "/requests?state=all"):
        assert len(operator.page(path)) < 30_000, path
    (shown,) = re.findall(r'name="name" value="([^"]+)"', operator.live("/"))
    answer = operator.post("/resume", {"name": unescape(shown)})
    assert answer.status_code == 200
    assert scene.ledger.pauses() == {}


def test_of_a_reason_without_an_end_the_beginning_is_kept(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    operator.page("/")
    operator.post("/pause", {"name": "all", "reason": "x" * 4000})
    assert scene.ledger.pauses()["all"].reason == "x" * 199 + "…"
