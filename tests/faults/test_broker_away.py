"""A worker of two accounts listens on two channels: they end, and begin again, as one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.account_checks import assert_each_decided_once, until_done
from tests.support.redis_process import running_server
from tests.support.two_accounts import AccountsStack

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_of_two_accounts_outlives_a_killed_redis(tmp_path: Path, pool: str) -> None:
    with running_server(tmp_path) as server:
        estate = AccountsStack(tmp_path, server.url, CONNECT_LEASE_SECONDS="4")
        try:
            accounts = [estate.open(name, orders=40, latency_ms=40) for name in ("eu", "us")]
            estate.worker("one", "--pool", pool, "-c", "4")
            estate.beat()
            estate.until_soon(
                lambda: all(account.waiting() < 30 for account in accounts), "both are at work"
            )
            server.kill()
            estate.until_soon(lambda: "Trying again in" in estate.whole_log("one"), "it notices")
            server.start()
            for account in accounts:
                estate.until_soon(lambda account=account: not account.waiting(), "all are decided")
                for request_id, entry in account.requests().items():
                    assert [item["action"] for item in entry["accepted"]] == ["approve"], request_id
                    assert entry["vendor"]["effects"] == 1
        finally:
            estate.stop()


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_of_two_accounts_that_is_asked_to_stop_ends_its_jobs(
    estate: AccountsStack, pool: str
) -> None:
    accounts = [estate.open(name, orders=40, latency_ms=40) for name in ("eu", "us")]
    estate.worker("one", "--pool", pool, "-c", "4")
    estate.beat()
    estate.until_soon(lambda: all(item.waiting() < 36 for item in accounts), "both are at work")
    process = estate.processes.pop("one")
    process.terminate()
    assert process.wait(timeout=60) == 0
    left = [item.waiting() for item in accounts]
    assert all(left)
    estate.worker("two", "--pool", pool, "-c", "4")
    until_done(estate, *accounts)
    for account in accounts:
        assert_each_decided_once(account)
