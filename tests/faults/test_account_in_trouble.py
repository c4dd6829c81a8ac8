"""One account hangs, fails or refuses its key: the other goes on as if it were alone."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from connect_worker.domain.states import RequestKind, State
from tests.support.account_checks import assert_each_decided_once, until_done
from tests.support.two_accounts import Account, AccountsStack, running_accounts_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

SLOTS = 8
ORDERS = 60
#: Of each call of the account that is well: its jobs wait for the network, as real ones do.
LATENCY_MS = 60
#: How much longer than alone it may take beside the other: alone it has 7 processes, beside it 4.
FACTOR = 1.75
#: For so long a call waits whose account begins to hang midway.
HANG_SECONDS = 25
#: On a machine that others use too one of them may be disturbed.
ROUNDS = 3

POOLS = ["threads", "prefork", "gevent"]


def seconds_to_decide(estate: AccountsStack, account: Account, orders: int = ORDERS) -> float:
    """How long it takes until so many new orders are decided."""
    account.add(orders)
    return estate.seconds_until(lambda: not account.waiting(), "they are decided")


def latency(estate: AccountsStack, account: Account) -> float:
    """How long one order takes, alone on its way: the median of some."""
    return statistics.median(seconds_to_decide(estate, account, 1) for _ in range(5))


def both_polled(estate: AccountsStack, *accounts: Account) -> None:
    estate.until_soon(lambda: all(account.calls() for account in accounts), "both are polled")


@pytest.mark.long
@pytest.mark.parametrize("pool", POOLS)
def test_an_account_whose_calls_hang_slows_no_other(tmp_path: Path, pool: str) -> None:
    """Its jobs wait for Connect all the while, and a hundred more wait for a process."""
    with running_accounts_stack(tmp_path, CONNECT_EU_TIMEOUT_SECONDS="600") as estate:
        eu, us = estate.open("eu"), estate.open("us", latency_ms=LATENCY_MS)
        estate.worker("one", "--pool", pool, "-c", str(SLOTS))
        estate.beat()
        both_polled(estate, eu, us)
        seconds_to_decide(estate, us)
        alone = seconds_to_decide(estate, us), latency(estate, us)

        eu.misbehave("hang", path="^/public/v1/requests/PR-")
        eu.add(100)
        estate.until_soon(lambda: eu.control("GET", "faults")[0]["hits"] >= 3, "its jobs hang")
        rounds = []
        for _ in range(ROUNDS):
            rounds.append((seconds_to_decide(estate, us), latency(estate, us)))
            if is_near(rounds[-1], alone):
                break
        print(f"{pool}: alone {alone}, beside {rounds}")
        assert is_near(rounds[-1], alone), (rounds, alone)
        assert eu.waiting() == 100
        # Its share; a poll that ended soon has let one or two more begin.
        assert eu.control("GET", "faults")[0]["hits"] <= SLOTS // 2 + 2
        assert us.ledger.breaker().failures == 0


def is_near(beside: tuple[float, float], alone: tuple[float, float]) -> bool:
    """Whether the times beside the other account are about those alone."""
    return all(item < FACTOR * other + 1 for item, other in zip(beside, alone, strict=True))


@pytest.mark.long
@pytest.mark.mutant
def test_one_that_begins_to_hang_in_its_busiest_moment_leaves_a_process_to_the_other(
    tmp_path: Path,
) -> None:
    """The other one had nothing to do till then; and in the end all is decided once."""
    with running_accounts_stack(tmp_path, CONNECT_EU_TIMEOUT_SECONDS=f"{HANG_SECONDS}") as estate:
        eu, us = estate.open("eu", latency_ms=20), estate.open("us", latency_ms=20)
        estate.worker("one", "--pool", "threads", "-c", str(SLOTS))
        estate.beat()
        both_polled(estate, eu, us)
        eu.add(150)
        estate.until_soon(lambda: eu.waiting() < 120, "it is busy")
        eu.misbehave("hang", path="^/public/")
        # All that it had under way waits now; the other one's first order does not.
        assert seconds_to_decide(estate, us, 1) < HANG_SECONDS / 2
        assert eu.waiting()
        estate.until_soon(lambda: eu.ledger.breaker().failures, "its calls have timed out")
        eu.behave()
        until_done(estate, eu, us)
        for account in (eu, us):
            assert_each_decided_once(account)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"action": "status", "status": 401}, marks=pytest.mark.long),
        pytest.param({"action": "status", "status": 500}, marks=pytest.mark.long),
        pytest.param(
            {"action": "status", "status": 429, "retry_after": 600}, marks=pytest.mark.long
        ),
        {"action": "reset_before"},
    ],
    ids=lambda rule: str(rule.get("status", rule["action"])),
)
def test_an_account_that_is_refused_or_down_pauses_alone(
    estate: AccountsStack, rule: dict[str, Any]
) -> None:
    eu, us = estate.open("eu", orders=30), estate.open("us", orders=30)
    eu.misbehave(path="^/public/", **rule)
    estate.worker("one", "--pool", "threads", "-c", "4")
    estate.beat()
    until_done(estate, us)
    assert_each_decided_once(us)
    gate = us.ledger.breaker()
    assert (gate.failures, gate.open_until) == (0, 0)
    assert eu.waiting() == 30
    estate.until_soon(lambda: eu.ledger.breaker().reason, "the account in trouble pauses")
    assert sum(us.ledger.counts()[RequestKind.FULFILLMENT].values()) == 30
    assert us.ledger.counts()[RequestKind.FULFILLMENT][State.COMPLETED] == 30
    if rule.get("status") == 429:
        return
    eu.behave()
    until_done(estate, eu)
    assert_each_decided_once(eu)
