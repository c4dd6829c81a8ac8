"""Two accounts with requests that are called alike, one worker and one beat."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
import redis

from connect_worker.domain.states import RequestKey, RequestKind
from tests.support.account_checks import assert_each_decided_once, keys, until_done
from tests.support.two_accounts import PROCESSORS, AccountsStack, running_accounts_stack

pytestmark = pytest.mark.acceptance

ORDERS = 30


@pytest.mark.parametrize(
    ("pool", "concurrency"),
    [
        ("prefork", 3),
        pytest.param("threads", 8, marks=pytest.mark.long),
        pytest.param("gevent", 8, marks=pytest.mark.long),
    ],
)
def test_equal_ids_are_each_decided_once_in_their_own_account(
    estate: AccountsStack, pool: str, concurrency: int
) -> None:
    eu, us = estate.open("eu", orders=ORDERS), estate.open("us", orders=ORDERS)
    assert set(eu.requests()) == set(us.requests())
    estate.worker("one", "--pool", pool, "-c", str(concurrency))
    estate.beat()
    until_done(estate, eu, us)
    for account in (eu, us):
        assert_each_decided_once(account)
        for request_id in account.requests():
            record = account.ledger.get_record(RequestKey(RequestKind.FULFILLMENT, request_id))
            assert record is not None
            assert record.attempt == 1
    # One id in two accounts: two cycles, with a key each.
    assert len(keys(eu)) == len(keys(us)) == ORDERS
    assert not keys(eu) & keys(us)

    lines = estate.whole_log("one").splitlines()
    for account, other in ((eu, us), (us, eu)):
        own = [line for line in lines if f"account={account.name}" in line]
        assert sum("tenant made" in line for line in own) == ORDERS
        assert not any(other.url in line for line in own)


@pytest.mark.long
def test_each_account_has_its_products_processors_and_pace(tmp_path: Path) -> None:
    """The one takes orders of one product; the other is served by another module, and slowly."""
    rate = 10.0
    settings = {
        "CONNECT_PROCESSORS": "examples.resellers",
        "CONNECT_EU_PROCESSORS": str(PROCESSORS),
        "CONNECT_US_PROCESSORS": str(PROCESSORS.with_name("other.py")),
        "CONNECT_US_MAX_CALLS_PER_SECOND": f"{rate:g}",
    }
    with running_accounts_stack(tmp_path, **settings) as estate:
        eu, us = estate.open("eu", orders=12), estate.open("us", orders=12)
        products = {entry["product"] for entry in eu.requests().values()}
        assert len(products) > 1
        wanted = sorted(products)[0]
        estate.environment["CONNECT_EU_PRODUCTS"] = wanted
        estate.worker("one", "--pool", "threads", "-c", "8")
        estate.beat()
        until_done(estate, us)
        others = [e for e in eu.requests().values() if e["product"] != wanted]
        estate.until_soon(lambda: eu.waiting() == len(others), "those of the product are decided")
        assert all(entry["status"] == "pending" for entry in others)

        by = {
            name: {e["vendor"]["effects"] for e in item.requests().values()}
            for name, item in estate.accounts.items()
        }
        assert by == {"eu": {0, 1}, "us": {0}}
        at = [datetime.fromisoformat(call["at"]).timestamp() for call in us.calls()]
        assert len(at) > 24
        assert at[-1] - at[0] > (len(at) - 1) / rate - 1
        log = estate.whole_log("one")
        assert re.search(r"automation='Orders in .*both.py' account=eu", log)
        assert re.search(r"automation='Others in .*other.py' account=us", log)


@pytest.mark.long
def test_workers_of_one_account_need_nothing_of_the_other(estate: AccountsStack) -> None:
    """A worker with `-Q` has no key of the other account, whose messages wait for its own."""
    eu, us = estate.open("eu", orders=5), estate.open("us", orders=5)
    estate.beat()
    key = estate.environment.pop("CONNECT_US_API_KEY")
    queues = "control@eu,fulfillment@eu,tier-config@eu,usage-file@eu,usage@eu"
    estate.worker("one", "--pool", "threads", "-c", "2", "-Q", queues)
    until_done(estate, eu)
    with redis.Redis.from_url(estate.redis_url) as client:
        estate.until_soon(lambda: client.llen("control@us") > 5, "polls of the other one wait")
    assert us.waiting() == 5

    refused = estate.worker("two", "--pool", "threads", "-c", "2")
    assert refused.wait(60) != 0
    del estate.processes["two"]
    said = estate.whole_log("two")
    assert "connect-worker: account us: CONNECT_US_API_KEY not set" in said
    assert "Traceback" not in said

    estate.environment["CONNECT_US_API_KEY"] = key
    estate.worker("two", "--pool", "threads", "-c", "2", "-Q", queues.replace("@eu", "@us"))
    until_done(estate, us)
    for account in (eu, us):
        assert_each_decided_once(account)
