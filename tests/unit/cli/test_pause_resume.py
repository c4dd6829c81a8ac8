"""`pause` and `resume`, and how the other commands tell of them."""

from __future__ import annotations

import re

import pytest

from connect_worker.cli.context import Exit
from connect_worker.domain.states import ClaimDenied, PollReport, RequestKind
from tests.support.ledger_factories import LONG, PR, record_of, register, take_due

from .conftest import OperatorShell


def test_a_pause_is_in_force_until_it_is_resumed(operator_shell: OperatorShell) -> None:
    register(operator_shell.ledger, product="PRD-1")
    said = operator_shell.said("pause", "PRD-1", "usage", "--reason", "the vendor is down")
    since = r"(?:from now on|for \d+ s)"
    for line, name in zip(said.splitlines(), ("PRD-1", "usage"), strict=True):
        assert re.fullmatch(rf"Paused: {name}, {since} \(the vendor is down\)", line)
    claim = operator_shell.ledger.claim(PR, owner="w", lease_seconds=LONG)
    assert claim is ClaimDenied.OPERATOR_PAUSE
    assert operator_shell.json("resume", "PRD-1")["resumed"] == {"PRD-1": 1}
    assert record_of(operator_shell.ledger).paused_by == ""
    assert take_due(operator_shell.ledger) == [PR]
    assert set(operator_shell.ledger.pauses()) == {"usage"}


def test_resume_says_what_is_still_paused_and_what_never_was(operator_shell: OperatorShell) -> None:
    operator_shell.said("pause", "all")
    result = operator_shell.run("resume", "all", "fulfillment")
    assert result.exit_code == Exit.NOT_DONE
    assert "Resumed: all; the next sweep sends 0 requests to the workers" in result.stdout
    assert "fulfillment was not paused" in result.stdout
    operator_shell.said("pause", "usage")
    assert operator_shell.json("resume", "all", code=Exit.NOT_DONE)["not_paused"] == ["all"]
    assert "Still paused: usage" in operator_shell.run("resume", "all").stdout


def test_the_board_and_the_story_tell_of_a_pause(operator_shell: OperatorShell) -> None:
    for kind in RequestKind:
        operator_shell.ledger.record_poll(kind, PollReport())
    register(operator_shell.ledger)
    operator_shell.said("pause", "fulfillment", "--reason", "a new version")
    operator_shell.ledger.claim(PR, owner="w", lease_seconds=LONG)
    board = operator_shell.json("status", "--no-workers")
    assert board["paused"]["fulfillment"]["reason"] == "a new version"
    assert board["paused"]["fulfillment"]["requests"] == 1
    assert board["problems"] == []
    assert "(a new version), 1 request waiting" in operator_shell.said("status", "--no-workers")
    assert operator_shell.json("show", PR.id)["paused_by"] == "fulfillment"
    assert "until `connect-worker resume fulfillment`" in operator_shell.said("show", PR.id)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_name_with_a_slip_in_it_is_refused(operator_shell: OperatorShell, command: str) -> None:
    result = operator_shell.run(command, "fullfilment")
    assert result.exit_code == Exit.USAGE
    assert "Unknown name 'fullfilment'. Choose one of: all, fulfillment" in " ".join(
        result.stderr.split()
    )
    assert operator_shell.run(command).exit_code == Exit.USAGE
    assert operator_shell.ledger.pauses() == {}


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_help_has_an_example(operator_shell: OperatorShell, command: str) -> None:
    assert (
        f"connect-worker {command}"
        in operator_shell.said(command, "--help").partition("Example")[2]
    )


def test_a_name_that_is_too_long_is_refused(operator_shell: OperatorShell) -> None:
    result = operator_shell.run("pause", "PRD-" + "x" * 50_000)
    assert result.exit_code == Exit.USAGE
    assert "at most 100 characters" in " ".join(result.stderr.replace("│", "").split())
    assert len(result.stderr) < 2000
    assert operator_shell.ledger.pauses() == {}


def test_a_long_reason_is_cut_and_one_from_before_is_shown_short(
    operator_shell: OperatorShell,
) -> None:
    operator_shell.run("pause", "fulfillment", "--reason", "why " * 50_000)
    [stored] = operator_shell.ledger.pauses().values()
    assert len(stored.reason) == 200
    operator_shell.ledger.pause("all", reason="why " * 50_000)
    for command in (["status"], ["status", "--json"], ["pause", "usage"], ["resume", "usage"]):
        assert len(operator_shell.run(*command).stdout) < 4000, command


def test_a_long_name_from_before_is_shown_short_and_can_be_resumed(
    operator_shell: OperatorShell,
) -> None:
    name = "PRD-" + "x" * 200_000
    register(operator_shell.ledger, product=name)
    operator_shell.ledger.pause(name)
    operator_shell.ledger.claim(PR, owner="w", lease_seconds=LONG)
    for command in (["status"], ["show", PR.id], ["status", "--json"], ["list"]):
        assert len(operator_shell.run(*command).stdout) < 20_000, command
    (shown,) = operator_shell.json("status")["paused"]
    assert len(shown) == 100
    assert operator_shell.json("resume", shown)["resumed"] == {shown: 1}
    assert operator_shell.ledger.pauses() == {}
