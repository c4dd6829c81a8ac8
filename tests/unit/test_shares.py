"""Which account of a worker may take one more job."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.shares import RECENT_SECONDS, Shares

SLOTS = 8


class Worker:
    """A worker's slots, and a clock that stands still."""

    def __init__(self, *accounts: str, slots: int = SLOTS) -> None:
        self.now = 0.0
        self.slots = slots
        self.under_way: Counter[str] = Counter()
        self.shares = Shares(accounts, clock=lambda: self.now)

    def may_take(self, account: str) -> bool:
        return self.shares.may_take(account, self.under_way, slots=self.slots)

    def fill(self, account: str) -> int:
        """Let an account take all that it may; how many it has then."""
        while self.may_take(account):
            self.under_way[account] += 1
        return self.under_way[account]


def test_an_account_alone_at_work_leaves_one_slot_to_each_other() -> None:
    worker = Worker("eu", "us", "asia")
    assert worker.fill("eu") == SLOTS - 2
    assert (worker.fill("us"), worker.fill("asia")) == (1, 1)


def test_two_that_are_busy_have_half_each_and_keep_it_when_one_hangs() -> None:
    worker = Worker("eu", "us")
    while worker.may_take("eu") or worker.may_take("us"):
        for account in ("eu", "us"):
            worker.under_way[account] += worker.may_take(account)
    assert worker.under_way == {"eu": 4, "us": 4}
    # The jobs of one end, those of the other never do.
    for _ in range(100):
        worker.under_way["us"] -= 1
        worker.under_way["eu"] += worker.may_take("eu")
        worker.under_way["us"] += worker.may_take("us")
    assert worker.under_way == {"eu": 4, "us": 4}


def test_what_an_account_has_used_lately_is_kept_for_it_and_one_more() -> None:
    worker = Worker("eu", "us")
    worker.under_way["us"] = 2
    assert not worker.shares.may_take("eu", worker.under_way | Counter(eu=5), slots=SLOTS)
    worker.under_way.clear()
    assert worker.fill("eu") == SLOTS - 3
    worker.now += RECENT_SECONDS + 1
    assert worker.fill("eu") == SLOTS - 1


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_with_few_slots_every_account_may_begin(slots: int) -> None:
    for account in ("eu", "us", "asia"):
        assert Worker("eu", "us", "asia", slots=slots).fill(account) == 1


@settings(max_examples=200)
@given(
    accounts=st.integers(2, 5),
    slots=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 20)), max_size=80),
)
def test_whatever_the_others_do_an_account_without_a_job_gets_one(
    accounts: int, slots: int, steps: list[tuple[int, bool, float]]
) -> None:
    """Of a worker with at least as many slots as accounts; and no worker takes too many."""
    names = [f"a{number}" for number in range(accounts)]
    worker = Worker(*names, slots=slots)
    for number, takes, seconds in steps:
        name = names[number % accounts]
        worker.now += seconds
        if not takes:
            worker.under_way[name] = max(0, worker.under_way[name] - 1)
        elif worker.may_take(name):
            worker.under_way[name] += 1
        assert worker.under_way.total() <= slots
        if slots >= accounts:
            assert all(worker.may_take(one) for one in names if not worker.under_way[one])
