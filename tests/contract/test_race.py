"""Several processes ask for the same requests at once; each is given to one of them."""

from __future__ import annotations

import multiprocessing
from collections import Counter

from connect_worker.domain.states import Claim, RequestKey, RequestKind
from connect_worker.ledger.redis import RedisLedger, connect
from tests.support.ledger_factories import LONG, see

REFS = [RequestKey(RequestKind.FULFILLMENT, f"PR-0000-0000-{number:04d}") for number in range(200)]


def claim_all(url: str, account: str, name: str) -> list[tuple[str, int]]:
    with connect(url) as client:
        ledger = RedisLedger(client, account=account)
        answers = [ledger.claim(ref, owner=name, lease_seconds=LONG) for ref in REFS]
    return [(answer.ref.id, answer.fence) for answer in answers if isinstance(answer, Claim)]


def test_four_processes_claim_200_requests_and_each_is_given_once(
    redis_url: str, redis_ledger: RedisLedger, account: str
) -> None:
    see(redis_ledger, *REFS)
    jobs = [(redis_url, account, f"process-{number}") for number in range(4)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        given = [claim for claims in pool.starmap(claim_all, jobs, chunksize=1) for claim in claims]
    assert Counter(given) == Counter((ref.id, 1) for ref in REFS)


def sight_all(url: str, account: str, name: str) -> list[str]:
    with connect(url) as client:
        return [ref.id for ref in see(RedisLedger(client, account=account), *REFS)]


def test_two_polls_at_once_begin_each_cycle_once(redis_url: str, account: str) -> None:
    jobs = [(redis_url, account, f"process-{number}") for number in range(2)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        begun = [item for refs in pool.starmap(sight_all, jobs, chunksize=1) for item in refs]
    assert sorted(begun) == [ref.id for ref in REFS]
