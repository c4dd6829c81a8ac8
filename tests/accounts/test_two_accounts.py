"""Two accounts with requests that are called alike, one worker and one beat."""

from __future__ import annotations

import pytest

from connect_worker.processing.states import Kind, Ref, State

from .stack import Account, Estate

pytestmark = pytest.mark.acceptance

ORDERS = 30


def assert_each_decided_once_in(account: Account) -> None:
    """Each request has one outcome here, made by this account's processor, with one tenant."""
    for request_id, entry in account.requests().items():
        actions = [one["action"] for one in entry["accepted"]]
        assert (actions, entry["refused"]) == (["approve"], []), request_id
        assert entry["vendor"]["effects"] == 1
        record = account.ledger.entry(Ref(Kind.FULFILLMENT, request_id))
        assert record is not None
        assert (record.state, record.attempt) == (State.SETTLED, 1)


def keys(account: Account) -> set[str]:
    return {key for entry in account.requests().values() for key in entry["vendor"]["keys"]}


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 3), ("threads", 8), ("gevent", 8)])
def test_equal_ids_are_each_decided_once_in_their_own_account(
    estate: Estate, pool: str, concurrency: int
) -> None:
    eu, us = estate.open("eu", orders=ORDERS), estate.open("us", orders=ORDERS)
    assert set(eu.requests()) == set(us.requests())
    estate.worker("one", "--pool", pool, "-c", str(concurrency))
    estate.beat()
    estate.until_soon(lambda: not (eu.waiting() or us.waiting()), "both accounts are done")
    for account in (eu, us):
        estate.until_soon(
            lambda account=account: account.ledger.counts()[Kind.FULFILLMENT][State.SETTLED]
            == ORDERS,
            "the ledger has the end of each",
        )
        assert_each_decided_once_in(account)
    # One id in two accounts: two visits, with a key each.
    assert len(keys(eu)) == len(keys(us)) == ORDERS
    assert not keys(eu) & keys(us)

    for account, other in ((eu, us), (us, eu)):
        lines = [
            line for line in estate.whole_log("one").splitlines() if f"account={account.name}" in line
        ]
        assert any("tenant made" in line for line in lines)
        assert not any(other.url in line for line in lines)
