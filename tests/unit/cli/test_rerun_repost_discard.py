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
    operator_shell: OperatorShell, *refs: RequestKey, error: str = "broken", decided: bool = False
) -> None:
    for ref in refs:
        claim = (posting if decided else running)(operator_shell.ledger, ref)
        operator_shell.ledger.park(claim, error)


def states(operator_shell: OperatorShell, *refs: RequestKey) -> list[State]:
    return [record_of(operator_shell.ledger, ref).state for ref in refs]


def test_a_person_is_shown_whom_it_concerns_and_asked(operator_shell: OperatorShell) -> None:
    parked(operator_shell, PR)
    refused = operator_shell.run("rerun", PR.id, typed="n\n")
    assert refused.exit_code == 1
    assert PR.id in refused.stderr
    assert "Rerun 1 request? [y/N]" in refused.stderr
    assert states(operator_shell, PR) == [State.PARKED]
    agreed = operator_shell.run("rerun", PR.id, typed="y\n")
    assert agreed.exit_code == Exit.DONE
    assert "1 request queued" in agreed.stdout
    assert states(operator_shell, PR) == [State.QUEUED]
    assert take_due(operator_shell.ledger) == [PR]


def test_without_an_answer_nothing_is_done(operator_shell: OperatorShell) -> None:
    parked(operator_shell, PR)
    assert operator_shell.run("discard", "--all", "--json").exit_code == 1
    assert states(operator_shell, PR) == [State.PARKED]


def test_each_of_several_is_answered_for(operator_shell: OperatorShell) -> None:
    parked(operator_shell, PR)
    register(operator_shell.ledger, OTHER)
    result = operator_shell.json("rerun", PR.id, OTHER.id, "PR-0", "--yes", code=Exit.NOT_DONE)
    assert result == {
        "action": "rerun",
        "done": [PR.id],
        "refused": [{"id": OTHER.id, "why": "it is queued, not discarded or parked"}],
        "not_found": ["PR-0"],
    }
    result = operator_shell.run("rerun", "PR-0", "--yes")
    assert (result.exit_code, result.stdout) == (
        Exit.NOT_DONE,
        "Nothing was changed.\nPR-0: the ledger has no such request\n",
    )


def test_all_of_a_kind_with_an_error(operator_shell: OperatorShell) -> None:
    other_kind, other_error = TCR, RequestKey(RequestKind.FULFILLMENT, "PR-9")
    parked(operator_shell, PR, OTHER, other_kind, error="VendorDown: no answer")
    parked(operator_shell, other_error, error="KeyError: 'email'")
    result = operator_shell.json("rerun", "--kind", "fulfillment", "--error", "vendordown", "--yes")
    assert result["done"] == [PR.id, OTHER.id]
    assert states(operator_shell, PR, OTHER) == [State.QUEUED, State.QUEUED]
    assert states(operator_shell, other_kind, other_error) == [State.PARKED, State.PARKED]
    assert set(operator_shell.json("rerun", "--all", "--yes")["done"]) == {TCR.id, other_error.id}


def test_a_discarded_one_is_rerun_only_by_its_name(operator_shell: OperatorShell) -> None:
    parked(operator_shell, PR)
    operator_shell.ledger.discard(PR, keep_seconds=LONG)
    assert operator_shell.json("rerun", "--all", "--yes")["done"] == []
    assert operator_shell.json("rerun", PR.id, "--yes")["done"] == [PR.id]


def test_repost_takes_those_with_a_decision(operator_shell: OperatorShell) -> None:
    parked(operator_shell, PR, decided=True)
    parked(operator_shell, OTHER)
    result = operator_shell.json("repost", "--all", "--yes", code=Exit.NOT_DONE)
    assert result["done"] == [PR.id]
    assert result["refused"] == [{"id": OTHER.id, "why": "no decision is stored: rerun it"}]
    assert claim_of(operator_shell.ledger, PR, owner="w2").decision == APPROVE


def test_discard_keeps_the_record_for_as_long_as_the_settings_say(
    operator_shell: OperatorShell,
) -> None:
    parked(operator_shell, PR, OTHER)
    operator_shell.set(CONNECT_KEEP_DAYS="0.0000001")
    assert operator_shell.json("discard", PR.id, "--yes")["done"] == [PR.id]
    operator_shell.set(CONNECT_KEEP_DAYS="7")
    said = operator_shell.said("discard", OTHER.id, "--yes")
    assert said.startswith("1 request discarded")
    assert states(operator_shell, OTHER) == [State.DISCARDED]
    while operator_shell.ledger.get_record(PR) is not None:
        assert operator_shell.run("show", PR.id).exit_code in (Exit.DONE, Exit.NOT_DONE)
    assert "the ledger has no request" in operator_shell.run("show", PR.id).stderr


@pytest.mark.parametrize("words", [[], ["PR-1", "--all"], ["PR-1", "--kind", "usage"]])
def test_it_is_either_names_or_a_filter(operator_shell: OperatorShell, words: list[str]) -> None:
    result = operator_shell.run("rerun", *words)
    assert result.exit_code == Exit.USAGE
    assert "Name requests, or choose them" in result.stderr
    assert ("not both" in result.stderr) == bool(words)


@pytest.mark.parametrize("command", ["rerun", "repost", "discard"])
def test_help_has_an_example(operator_shell: OperatorShell, command: str) -> None:
    assert (
        f"connect-worker {command}"
        in operator_shell.said(command, "--help").partition("Example")[2]
    )
