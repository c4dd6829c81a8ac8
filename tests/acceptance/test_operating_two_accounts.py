"""The operator's commands beside a real worker of two accounts."""

from __future__ import annotations

import pytest

from connect_worker.cli.context import Exit
from connect_worker.domain.states import RequestKind
from tests.support.account_checks import assert_each_decided_once, until_done
from tests.support.two_accounts import AccountsStack

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


@pytest.mark.long
def test_each_account_is_polled_seen_repaired_and_measured_by_its_name(
    estate: AccountsStack,
) -> None:
    estate.environment["CONNECT_POLL_SECONDS"] = "3600"
    eu, us = estate.open("eu", orders=4), estate.open("us", orders=4)
    us.control("POST", "faults", {"action": "status", "status": 400, "path": "/approve"})
    estate.worker("one", "--pool", "threads", "-c", "4")
    # No beat: what is polled, is polled because somebody asks.
    polls = estate.answer("poll", "fulfillment", "--wait", "60", "--account", "us")["polls"]
    assert (polls["fulfillment"]["seen"], polls["fulfillment"]["new"]) == (4, 4)
    assert eu.ledger.polls() == {}
    both = estate.answer("poll", "--wait", "60")["accounts"]
    assert {name: len(item["polls"]) for name, item in both.items()} == {"eu": 4, "us": 4}

    estate.until_soon(lambda: us.ledger.parked(RequestKind.FULFILLMENT), "one is parked")
    until_done(estate, eu)
    lists = estate.answer("list", "--state", "parked")["accounts"]
    assert (lists["eu"]["total"], lists["us"]["total"]) == (0, 1)
    parked = lists["us"]["requests"][0]["id"]
    # The other account has one that is called alike, and has ended.
    assert estate.run("rerun", parked, "--yes").returncode == Exit.USAGE
    assert estate.answer("repost", "--all", "--yes")["accounts"]["us"]["done"] == [parked]
    estate.beat()
    until_done(estate, us)
    for account in (eu, us):
        assert_each_decided_once(account)

    boards = estate.answer("status")["accounts"]
    for name in ("eu", "us"):
        assert boards[name]["kinds"]["fulfillment"]["completed"] == 4
        assert [worker.partition("@")[0] for worker in boards[name]["workers"]] == ["one"]
    metrics = estate.run("metrics", "--once").stdout
    for name in ("eu", "us"):
        outcomes = [
            line
            for line in metrics.splitlines()
            if line.startswith("connect_worker_outcomes_total{")
            and all(part in line for part in (f'account="{name}"', 'outcome="approved"'))
        ]
        assert sum(float(line.rpartition(" ")[2]) for line in outcomes) == 4
        assert f'connect_worker_queue_messages{{queue="fulfillment@{name}"}} 0.0' in metrics
    findings = estate.answer("doctor")["findings"]
    seen = {
        (finding.get("account"), finding["part"])
        for finding in findings
        if finding["level"] == "ok"
    }
    assert {("eu", "beat"), ("us", "beat"), ("eu", "Connect"), (None, "workers")} <= seen
