"""Which account of a worker may take one more job."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.celery_support.fair_share import BRISK_SECONDS, CREDIT_SECONDS, RECENT_SECONDS, FairShare

SLOTS = 8


class Worker:
    """A worker's slots, and a clock that a test moves."""

    def __init__(self, *accounts: str, slots: int = SLOTS) -> None:
        self.now = 0.0
        self.slots = slots
        self.jobs: dict[str, str] = {}
        self.shares = FairShare(accounts, clock=lambda: self.now)
        self._ids = map(str, count())

    def may_take(self, account: str) -> bool:
        return self.shares.may_take(account, self.jobs, slots=self.slots)

    def take(self, account: str) -> bool:
        """Begin a job of the account, if it may."""
        if may := self.may_take(account):
            self.jobs[next(self._ids)] = account
        return may

    def fill(self, account: str) -> int:
        """Let an account take all that it may; how many it has then."""
        while self.take(account):
            pass
        return self.has(account)

    def end(self, account: str) -> None:
        """End the account's oldest job."""
        del self.jobs[next(job for job, whose in self.jobs.items() if whose == account)]

    def has(self, account: str) -> int:
        return list(self.jobs.values()).count(account)

    def work(self, account: str, jobs: int = 50) -> int:
        """Let so many jobs of an account with a backlog end, each soon; how many it has then."""
        for _ in range(jobs):
            self.fill(account)
            self.now += 0.1
            self.end(account)
        return self.fill(account)


def test_an_account_whose_jobs_end_leaves_one_slot_to_each_that_has_none() -> None:
    worker = Worker("eu", "us", "asia")
    assert worker.work("eu") == SLOTS - 2
    assert (worker.fill("us"), worker.fill("asia")) == (1, 1)


def test_an_account_whose_jobs_do_not_end_gets_its_even_share_and_no_more() -> None:
    worker = Worker("eu", "us")
    assert worker.fill("eu") == SLOTS // 2
    worker.now += 60
    assert worker.fill("eu") == SLOTS // 2
    # It is no other one's loss.
    assert worker.work("us") == SLOTS // 2


def test_jobs_that_have_ended_late_let_no_other_begin_beyond_the_share() -> None:
    worker = Worker("eu", "us")
    worker.fill("eu")
    worker.may_take("eu")
    worker.now += BRISK_SECONDS
    worker.end("eu")
    worker.end("eu")
    assert worker.fill("eu") == SLOTS // 2


def test_an_end_long_ago_lets_no_other_begin_beyond_the_share() -> None:
    worker = Worker("eu", "us")
    worker.fill("eu")
    worker.end("eu")
    assert worker.may_take("eu")
    worker.now += 2 * CREDIT_SECONDS
    assert worker.fill("eu") == SLOTS // 2


def test_two_that_are_busy_have_half_each_and_keep_it_when_one_hangs() -> None:
    worker = Worker("eu", "us")
    while worker.take("eu") or worker.take("us"):
        pass
    # The jobs of one end, those of the other never do.
    for _ in range(100):
        worker.now += 0.1
        worker.end("us")
        worker.take("eu")
        worker.take("us")
    assert (worker.has("eu"), worker.has("us")) == (4, 4)


def test_what_an_account_has_used_lately_is_kept_for_it_and_one_more() -> None:
    worker = Worker("eu", "us")
    for _ in range(2):
        assert worker.take("us")
    assert worker.work("eu", 20) == SLOTS - 3
    worker.end("us")
    worker.end("us")
    assert worker.work("eu", 20) == SLOTS - 3
    worker.now += RECENT_SECONDS
    assert worker.work("eu") == SLOTS - 1


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_with_few_slots_every_account_may_begin(slots: int) -> None:
    for account in ("eu", "us", "asia"):
        assert Worker("eu", "us", "asia", slots=slots).fill(account) == 1


@settings(max_examples=200)
@given(
    accounts=st.integers(2, 5),
    slots=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 2)), max_size=80),
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
        if takes:
            worker.take(name)
        elif worker.has(name):
            worker.end(name)
        assert len(worker.jobs) <= slots
        if slots >= accounts:
            assert all(worker.may_take(item) for item in names if not worker.has(item))
