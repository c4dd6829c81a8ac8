"""`status`, `list` and `show` on a ledger alone: no worker, no beat, no broker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from connect_worker.cli.context import Exit
from connect_worker.devtools.embedded_redis import free_port
from connect_worker.domain.states import (
    PendingRequest,
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.ledger.redis import connect
from connect_worker.operations.exporter import Exporter
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    TCR,
    claim_of,
    posting,
    record_of,
    register,
    running,
)

from .conftest import OperatorShell

DECISION = {
    "decision": {
        "outcome": "inquire",
        "message": "Which one?",
        "params": [{"id": "admin_password", "value": "CANARY-1", "value_error": "too short"}],
    },
    "seen": "2026-11-25T04:37:01+00:00",
    "pending_status": "pending",
}


def at_work(operator_shell: OperatorShell) -> None:
    """One of each kind of trouble, and what goes well."""
    ledger = operator_shell.ledger
    ledger.complete(
        posting(ledger, RequestKey(RequestKind.FULFILLMENT, "PR-9")), "approved", keep_seconds=LONG
    )
    tick(operator_shell)
    claim = running(ledger, PR)
    ledger.decide(claim, DECISION)
    ledger.record_step(claim, "store the parameters", {"status": 200})
    ledger.park(claim, "PostRefused: Connect refused to inquire: [400] VAL_001")
    tick(operator_shell)
    running(ledger, OTHER)
    tick(operator_shell)
    register(ledger, TCR, cycle="a", product="PRD-000-000-001")
    for kind in RequestKind:
        ledger.record_poll(kind, PollReport(seconds=0.5, seen=3, new=1))


def tick(operator_shell: OperatorShell) -> None:
    """Wait for the ledger's next millisecond: what comes now is younger."""
    since = operator_shell.ledger.now()
    while operator_shell.ledger.now() == since:
        pass


# ---- status


def test_status_counts_each_kind(operator_shell: OperatorShell) -> None:
    at_work(operator_shell)
    board = operator_shell.json("status", "--no-workers")
    row = board["kinds"]["fulfillment"]
    assert (row["queued"], row["running"], row["parked"]) == (0, 1, 1)
    assert (row["completed"], row["ended_today"]) == (1, 1)
    assert row["outcomes_today"] == {"approved": 1}
    assert board["kinds"]["tier-config"]["queued"] == 1
    assert board["kinds"]["tier-config"]["oldest_pending_seconds"] >= 0
    assert row["last_poll"]["seen"] == 3
    assert board["workers"] is None


@pytest.mark.parametrize("width", [80, 120])
def test_status_fits_the_terminal_and_says_what_to_do(
    operator_shell: OperatorShell, width: int
) -> None:
    at_work(operator_shell)
    said = operator_shell.said("status", "--no-workers", width=width)
    row = next(line for line in said.splitlines() if line.startswith("fulfillment"))
    assert row.split()[1:8] == ["·", "1", "·", "·", "·", "·", "1"]
    assert ("approved 1" in row) == (width == 120)
    assert "connect-worker list --state parked --kind fulfillment" in " ".join(said.split())


def test_status_works_where_only_ascii_can_be_written(
    operator_shell: OperatorShell,
) -> None:
    at_work(operator_shell)
    operator_shell.set(PYTHONIOENCODING="ascii", COLUMNS="120")
    done = operator_shell.run_alone("status", "--no-workers")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    row = next(line for line in done.stdout.splitlines() if "fulfillment" in line)
    assert row.replace("|", " ").split()[1:8] == ["-", "1", "-", "-", "-", "-", "1"]


def test_status_checks(operator_shell: OperatorShell) -> None:
    for kind in RequestKind:
        operator_shell.ledger.record_poll(kind, PollReport())
    assert operator_shell.run("status", "--no-workers", "--check").exit_code == Exit.DONE
    assert "All is well." in operator_shell.said("status", "--no-workers")
    operator_shell.ledger.park(running(operator_shell.ledger), "broken")
    assert operator_shell.run("status", "--no-workers", "--check").exit_code == Exit.NEEDS_ATTENTION
    assert operator_shell.run("status", "--no-workers").exit_code == Exit.DONE


def test_a_kind_that_was_never_polled_needs_attention(operator_shell: OperatorShell) -> None:
    operator_shell.ledger.record_poll(
        RequestKind.USAGE, PollReport(problem=PollProblem.NO_PROCESSOR)
    )
    problems = operator_shell.json("status", "--no-workers")["problems"]
    assert [problem.split()[0] for problem in problems] == [
        "fulfillment",
        "tier-config",
        "usage-file",
    ]
    assert all("beat" in problem for problem in problems)


def test_a_poll_that_broke_off_is_reported(operator_shell: OperatorShell) -> None:
    report = PollReport(problem=PollProblem.FAILED, detail="Forbidden: [403]")
    operator_shell.ledger.record_poll(RequestKind.USAGE, report)
    problems = operator_shell.json("status", "--no-workers")["problems"]
    assert "The last poll of usage failed: Forbidden: [403]" in problems


def test_the_breaker_and_a_pause_that_connect_asked_for_are_distinguished(
    operator_shell: OperatorShell,
) -> None:
    assert "circuit breaker closed" in operator_shell.said("status", "--no-workers")
    operator_shell.ledger.trip_breaker(
        seconds=100, reason="Connect asked for it", failed=False, asked=True
    )
    said = " ".join(operator_shell.said("status", "--no-workers").split())
    assert re.search(r"circuit breaker open until [-\d]+ [:\d]+, for \d+ s \(Connect asked", said)
    operator_shell.ledger.trip_breaker(seconds=0, reason="503", failed=True)
    operator_shell.ledger.trip_breaker(seconds=200, reason="503", failed=False)
    account = operator_shell.json("status", "--no-workers")["account"]
    assert (account["breaker"], account["failures"], account["reason"]) == ("open", 1, "503")
    assert "after 1 failure (503)" in " ".join(
        operator_shell.said("status", "--no-workers").split()
    )


def test_failures_that_do_not_open_the_breaker_yet_are_counted_in_the_status(
    operator_shell: OperatorShell,
) -> None:
    operator_shell.ledger.trip_breaker(seconds=0, reason="503", failed=True)
    said = " ".join(operator_shell.said("status", "--no-workers").split())
    assert "circuit breaker closed, 1 failure counted (503)" in said
    account = operator_shell.json("status", "--no-workers")["account"]
    assert (account["breaker"], account["failures"], account["open_until"]) == ("closed", 1, None)


def test_the_breaker_is_half_open_after_its_time(operator_shell: OperatorShell) -> None:
    breaker = operator_shell.ledger.trip_breaker(seconds=0.005, reason="503", failed=True)
    while operator_shell.ledger.now() < breaker.open_until:
        pass
    assert operator_shell.json("status", "--no-workers")["account"]["breaker"] == "half-open"
    said = " ".join(operator_shell.said("status", "--no-workers").split())
    assert "circuit breaker half-open after 1 failure (503)" in said


def test_status_without_a_broker_shows_the_ledger_and_says_so(
    operator_shell: OperatorShell,
) -> None:
    at_work(operator_shell)
    operator_shell.set(CONNECT_BROKER_URL="redis://127.0.0.1:9/0")
    board = json.loads(operator_shell.run_alone("status", "--json").stdout)
    assert board["workers"] is None
    assert board["problems"][0].startswith("The broker can't be reached: check CONNECT_BROKER_URL")
    assert board["kinds"]["fulfillment"]["parked"] == 1


# ---- list


def listed(operator_shell: OperatorShell, *words: str) -> list[str]:
    return [item["id"] for item in operator_shell.json("list", *words)["requests"]]


def test_list_shows_what_is_open_longest_wait_first(operator_shell: OperatorShell) -> None:
    at_work(operator_shell)
    assert listed(operator_shell) == [PR.id, OTHER.id, TCR.id]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--state", "parked"], [PR.id]),
        (["--state", "active"], [OTHER.id, TCR.id]),
        (["--state", "completed"], ["PR-9"]),
        (["--state", "parked", "--state", "queued"], [PR.id, TCR.id]),
        (["--state", "ended"], ["PR-9"]),
        (["--state", "all"], ["PR-9", PR.id, OTHER.id, TCR.id]),
        (["--kind", "tier-config"], [TCR.id]),
        (["--product", "PRD-000-000-001"], [TCR.id]),
        (["--id", "PR-5852"], [PR.id, OTHER.id]),
        (["--error", "val_001"], [PR.id]),
        (["--limit", "1"], [PR.id]),
        (["--kind", "usage"], []),
    ],
)
def test_list_filters(operator_shell: OperatorShell, words: list[str], expected: list[str]) -> None:
    at_work(operator_shell)
    assert listed(operator_shell, *words) == expected


def test_list_says_that_there_are_more(operator_shell: OperatorShell) -> None:
    at_work(operator_shell)
    assert operator_shell.json("list", "--limit", "1")["total"] == 3
    assert operator_shell.json("list", "--limit", "0") == {"total": 3, "requests": []}
    assert "1 of 3: --limit 3 shows all." in operator_shell.said("list", "--limit", "1")
    assert operator_shell.said("list", "--kind", "usage") == "No such requests.\n"


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_names_the_state_and_the_reason(operator_shell: OperatorShell, width: int) -> None:
    at_work(operator_shell)
    said = operator_shell.said("list", width=width)
    row = next(line for line in said.splitlines() if line.startswith(PR.id))
    assert row.split()[1] == "parked"
    assert "PostRefused: Connect" in row


# ---- show


def test_show_tells_the_whole_story(operator_shell: OperatorShell) -> None:
    ledger = operator_shell.ledger
    ledger.register([PendingRequest(PR, None, "PRD-1")], seen_at=ledger.now(), requeue_seconds=LONG)
    claim = claim_of(ledger, owner="host:17:0123456789ab")
    ledger.reschedule(claim, State.RETRY, delay_seconds=0, error="VendorDown: no answer")
    claim = claim_of(ledger, owner="other:18:0123456789ab")
    ledger.record_step(claim, "step:1:create-tenant", {"login": "a canary"})
    ledger.decide(claim, DECISION)
    ledger.record_step(claim, "store the parameters", {"status": 200})
    ledger.park(claim, "PostRefused: no")

    story = operator_shell.json("show", PR.id)
    assert (story["state"], story["cycle"], story["attempt"]) == ("parked", "1", 2)
    assert (story["product"], story["worker"], story["error"]) == (
        "PRD-1",
        "other:18",
        "PostRefused: no",
    )
    assert story["decision"]["outcome"] == "inquire"
    assert story["steps"] == ["create-tenant", "store the parameters"]
    assert "a canary" not in str(story)
    shown = [item["step"] or item["state"] for item in story["timeline"]]
    states = ["queued", "running", "retry", "running"]
    assert shown == [*states, "create-tenant", "posting", "parked"]
    assert story["timeline"][1]["worker"] == "host:17"

    for width in (80, 120):
        said = operator_shell.said("show", PR.id, width=width)
        for word in (
            "PRD-1",
            "other:18 (the last one)",
            "PostRefused: no",
            "rerun",
            "Timeline",
            "  create-tenant",
        ):
            assert word in said


def test_values_of_parameters_are_not_shown(operator_shell: OperatorShell) -> None:
    at_work(operator_shell)
    for words in (["show", PR.id], ["show", PR.id, "--json"], ["list", "--json"], ["list"]):
        result = operator_shell.run(*words)
        assert result.exit_code == 0
        assert "CANARY" not in result.output
    assert "too short" in operator_shell.run("show", PR.id, "--json").output


def test_what_others_wrote_can_not_steer_the_terminal(operator_shell: OperatorShell) -> None:
    operator_shell.ledger.park(
        running(operator_shell.ledger), "\x1b[2J[bold]gone[/]\nApiKey SU-1:secret"
    )
    for words in (["show", PR.id], ["list"], ["list", "--json"]):
        said = operator_shell.run(*words, width=200).output
        assert "\x1b[2J" not in said
        assert "[bold]gone[/]" in said
        assert "secret" not in said


def test_an_unknown_request_is_said_so(operator_shell: OperatorShell) -> None:
    result = operator_shell.run("show", "PR-0")
    assert result.exit_code == Exit.NOT_DONE
    assert "the ledger has no request PR-0" in result.stderr


def test_a_listing_is_found_by_its_id_alone(operator_shell: OperatorShell) -> None:
    refs = [RequestKey(RequestKind.USAGE, f"LST-1@2026-{month}") for month in ("10", "11")]
    register(operator_shell.ledger, *refs)
    story = operator_shell.json("show", "LST-1")
    assert (story["id"], story["other_periods"]) == ("LST-1@2026-11", ["LST-1@2026-10"])
    assert operator_shell.json("show", "LST-1@2026-10")["id"] == "LST-1@2026-10"


# ---- what all have in common


@pytest.mark.parametrize("command", [["status"], ["list"], ["show", "PR-1"]])
def test_without_a_ledger_the_remedy_is_one_sentence(
    operator_shell: OperatorShell, tmp_path: Path, command: list[str]
) -> None:
    operator_shell.set(CONNECT_REDIS_URL=f"unix://{tmp_path}/none")
    result = operator_shell.run(*command)
    assert result.exit_code == Exit.NO_LEDGER
    assert result.stderr.startswith("Error: Redis can't be reached")
    assert result.stdout == ""


def test_without_settings_the_remedy_is_one_sentence(operator_shell: OperatorShell) -> None:
    operator_shell.set(CONNECT_API_KEY="")
    result = operator_shell.run("list")
    assert result.exit_code == Exit.CONFIGURATION
    assert result.stderr.startswith("Error: CONNECT_API_KEY not set")


@pytest.mark.parametrize("command", ["status", "list", "show"])
def test_help_has_an_example(operator_shell: OperatorShell, command: str) -> None:
    said = operator_shell.said(command, "--help")
    assert f"connect-worker {command}" in said.partition("Example")[2]
    assert "--json" in said


# ---- corrupt records


def damage(operator_shell: OperatorShell, ref: RequestKey) -> None:
    """Put another type in the place of a record, as a program that uses the same key does."""
    key = f"connect-worker:{{{operator_shell.account}}}:request:{ref}"
    with connect(operator_shell.redis_url) as client:
        client.set(key, "no hash")


def test_a_corrupt_record_is_listed_and_hides_no_other(operator_shell: OperatorShell) -> None:
    register(operator_shell.ledger, PR, OTHER, TCR)
    damage(operator_shell, PR)
    rows = {row["id"]: row for row in operator_shell.json("list")["requests"]}
    assert set(rows) == {PR.id, OTHER.id, TCR.id}
    assert (rows[PR.id]["state"], rows[PR.id]["corrupt"]) == (
        "parked",
        "its key in Redis holds no hash",
    )
    assert rows[OTHER.id]["corrupt"] is None
    assert "corrupt: its key in Redis holds no hash" in operator_shell.said("list", width=120)
    assert "CorruptRecord" in operator_shell.json("show", PR.id)["error"]
    said = " ".join(operator_shell.said("show", PR.id, width=200).split())
    assert "look at the request in Connect, then rerun or discard it" in said
    assert f"rerun {PR.id}: run the processor again" in said
    assert "repost" not in said
    assert operator_shell.json("status", "--no-workers")["kinds"]["tier-config"]["queued"] == 1


def test_a_corrupt_decision_is_shown_with_what_happens_next(operator_shell: OperatorShell) -> None:
    posting(operator_shell.ledger)
    key = f"connect-worker:{{{operator_shell.account}}}:request:{PR}"
    with connect(operator_shell.redis_url) as client:
        client.hset(key, "d", "{")
    shown = operator_shell.json("show", PR.id)
    assert (shown["state"], shown["decision"]) == ("posting", "corrupt")
    said = " ".join(operator_shell.said("show", PR.id, width=200).split())
    assert "the stored decision is no JSON; a worker parks the request" in said


@pytest.mark.parametrize("command", ["rerun", "discard"])
def test_a_corrupt_record_can_be_rerun_and_discarded(
    operator_shell: OperatorShell, command: str
) -> None:
    register(operator_shell.ledger)
    damage(operator_shell, PR)
    assert operator_shell.json(command, PR.id, "--yes")["done"] == [PR.id]
    register(operator_shell.ledger)
    state = {"rerun": State.QUEUED, "discard": State.DISCARDED}[command]
    assert record_of(operator_shell.ledger).state is state


def test_a_corrupt_record_does_not_end_the_metrics(operator_shell: OperatorShell) -> None:
    register(operator_shell.ledger, PR, OTHER)
    damage(operator_shell, PR)
    exporter = Exporter(operator_shell.ledger, account="a", queue_lengths=dict)
    up = next(family for family in exporter.collect() if "ledger_up" in family.name)
    assert up.samples[0].value == 1


def test_doctor_names_corrupt_records(operator_shell: OperatorShell) -> None:
    register(operator_shell.ledger, PR, OTHER)
    damage(operator_shell, PR)
    document = operator_shell.json("doctor", code=Exit.NEEDS_ATTENTION)
    [found] = [item for item in document["findings"] if item["part"] == "ledger"]
    assert found["level"] == "fail"
    assert found["text"].startswith(f"the record of 1 open request ({PR.id}) is corrupt: ")
    assert "rerun or discard" in found["remedy"]


@pytest.mark.parametrize(
    ("keys", "level", "text"),
    [
        ("KEY", "ok", "1 key; all open requests can be read"),
        ("KEY,plain", "warn", "has `plain`: who can write to Redis can make decisions"),
    ],
)
def test_doctor_warns_of_plain_values(
    operator_shell: OperatorShell, keys: str, level: str, text: str
) -> None:
    key = Fernet.generate_key().decode()
    operator_shell.set(CONNECT_ENCRYPTION_KEY=keys.replace("KEY", key))
    document = operator_shell.json("doctor", code=Exit.NEEDS_ATTENTION)
    [found] = [item for item in document["findings"] if item["part"] == "encryption"]
    assert found["level"] == level
    assert text in found["text"]


# ---- failures


@pytest.mark.parametrize("words", [("status",), ("list",), ("show", PR.id), ("pause", "all")])
def test_a_failure_is_one_json_document_with_its_exit_code(
    operator_shell: OperatorShell, words: tuple[str, ...]
) -> None:
    operator_shell.set(CONNECT_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    result = operator_shell.run(*words, "--json")
    assert result.exit_code == 4
    document = json.loads(result.stdout)
    assert list(document) == ["error"]
    assert document["error"].startswith("Redis can't be reached: check that it runs")


def test_a_refused_setting_is_one_json_document_too(operator_shell: OperatorShell) -> None:
    operator_shell.set(CONNECT_REDIS_URL="redis://127.0.0.1/abc")
    result = operator_shell.run("status", "--json")
    assert result.exit_code == 78
    assert "CONNECT_REDIS_URL" in json.loads(result.stdout)["error"]
