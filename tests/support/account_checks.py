"""What is true of an account in the end, by its own sandbox and its own part of the ledger."""

from __future__ import annotations

from connect_worker.domain.states import RequestKey, RequestKind, State

from .two_accounts import Account, AccountsStack


def until_done(estate: AccountsStack, *accounts: Account) -> None:
    """Wait until nothing waits in these accounts, and the ledger has the end of each request."""
    for account in accounts:
        settled = len(account.requests())
        estate.until_soon(
            lambda account=account, settled=settled: (
                account.ledger.counts()[RequestKind.FULFILLMENT][State.COMPLETED] == settled
            ),
            f"{account.name} is done",
        )


def assert_each_decided_once(account: Account) -> None:
    """Each request has one outcome here, with one tenant, and the account's own cycle of it."""
    for request_id, entry in account.requests().items():
        actions = [item["action"] for item in entry["accepted"]]
        assert (actions, entry["refused"]) == (["approve"], []), request_id
        assert entry["vendor"]["effects"] == 1
        record = account.ledger.get_record(RequestKey(RequestKind.FULFILLMENT, request_id))
        assert record is not None
        assert record.state is State.COMPLETED


def keys(account: Account) -> set[str]:
    """The idempotency keys that the vendor's system of the account has seen."""
    return {key for entry in account.requests().values() for key in entry["vendor"]["keys"]}
