"""`rerun`, `repost` and `discard`: one, many, or all that have something in common."""

from __future__ import annotations

import pytest

from connect_worker.cli.context import Exit
from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    OTHER,
    PR,
    TCR,
    claim_of,
    posting,
    record_of,
    register,
    running,
    take_due,
)

from .conftest import OperatorShell


def parked(
    office: OperatorShell, *refs: RequestKey, error: str = "broken", decided: bool = False
) -> None:
    for ref in refs:
        claim = (posting if decided else running)(office.ledger, ref)
        office.ledger.park(claim, error)


def states(office: OperatorShell, *refs: RequestKey) -> list[State]:
    return [record_of(office.ledger, ref).state for ref in refs]


def test_a_person_is_shown_whom_it_concerns_and_asked(office: OperatorShell) -> None:
    parked(office, PR)
    refused = office.run("rerun", PR.id, typed="n\n")
    assert refused.exit_code == 1
    assert PR.id in refused.stderr
    assert "Rerun 1 request? [y/N]" in refused.stderr
    assert states(office, PR) == [State.PARKED]
    agreed = office.run("rerun", PR.id, typed="y\n")
    assert agreed.exit_code == Exit.DONE
    assert "1 request queued" in agreed.stdout
    assert states(office, PR) == [State.QUEUED]
    assert take_due(office.ledger) == [PR]


def test_without_an_answer_nothing_is_done(office: OperatorShell) -> None:
    parked(office, PR)
    assert office.run("discard", "--all", "--json").exit_code == 1
    assert states(office, PR) == [State.PARKED]


def test_each_of_several_is_answered_for(office: OperatorShell) -> None:
    parked(office, PR)
    register(office.ledger, OTHER)
    result = office.json("rerun", PR.id, OTHER.id, "PR-0", "--yes", code=Exit.NOT_DONE)
    assert result == {
        "action": "rerun",
        "done": [PR.id],
        "refused": [{"id": OTHER.id, "why": "it is queued, not discarded or parked"}],
        "not_found": ["PR-0"],
    }
    result = office.run("rerun", "PR-0", "--yes")
    assert (result.exit_code, result.stdout) == (
        Exit.NOT_DONE,
        "Nothing was changed.\nPR-0: the ledger has no such request\n",
    )


def test_all_of_a_kind_with_an_error(office: OperatorShell) -> None:
    other_kind, other_error = TCR, RequestKey(RequestKind.FULFILLMENT, "PR-9")
    parked(office, PR, OTHER, other_kind, error="VendorDown: no answer")
    parked(office, other_error, error="KeyError: 'email'")
    result = office.json("rerun", "--kind", "fulfillment", "--error", "vendordown", "--yes")
    assert result["done"] == [PR.id, OTHER.id]
    assert states(office, PR, OTHER) == [State.QUEUED, State.QUEUED]
    assert states(office, other_kind, other_error) == [State.PARKED, State.PARKED]
    assert set(office.json("rerun", "--all", "--yes")["done"]) == {TCR.id, other_error.id}


def test_a_discarded_one_is_rerun_only_by_its_name(office: OperatorShell) -> None:
    parked(office, PR)
    office.ledger.discard(PR, keep_seconds=LONG)
    assert office.json("rerun", "--all", "--yes")["done"] == []
    assert office.json("rerun", PR.id, "--yes")["done"] == [PR.id]


def test_repost_takes_those_with_a_decision(office: OperatorShell) -> None:
    parked(office, PR, decided=True)
    parked(office, OTHER)
    result = office.json("repost", "--all", "--yes", code=Exit.NOT_DONE)
    assert result["done"] == [PR.id]
    assert result["refused"] == [{"id": OTHER.id, "why": "no decision is stored: rerun it"}]
    assert claim_of(office.ledger, PR, owner="w2").decision == APPROVE


def test_discard_keeps_the_record_for_as_long_as_the_settings_say(office: OperatorShell) -> None:
    parked(office, PR, OTHER)
    office.set(CONNECT_KEEP_DAYS="0.0000001")
    assert office.json("discard", PR.id, "--yes")["done"] == [PR.id]
    office.set(CONNECT_KEEP_DAYS="7")
    said = office.said("discard", OTHER.id, "--yes")
    assert said.startswith("1 request discarded")
    assert states(office, OTHER) == [State.DISCARDED]
    while office.ledger.get_record(PR) is not None:
        assert office.run("show", PR.id).exit_code in (Exit.DONE, Exit.NOT_DONE)
    assert "the ledger has no request" in office.run("show", PR.id).stderr


@pytest.mark.parametrize("words", [[], ["PR-1", "--all"], ["PR-1", "--kind", "usage"]])
def test_it_is_either_names_or_a_filter(office: OperatorShell, words: list[str]) -> None:
    result = office.run("rerun", *words)
    assert result.exit_code == Exit.USAGE
    assert "Name requests, or choose them" in result.stderr
    assert ("not both" in result.stderr) == bool(words)


@pytest.mark.parametrize("command", ["rerun", "repost", "discard"])
def test_help_has_an_example(office: OperatorShell, command: str) -> None:
    assert f"connect-worker {command}" in office.said(command, "--help").partition("Example")[2]
