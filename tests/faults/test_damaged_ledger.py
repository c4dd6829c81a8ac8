"""A person or a program writes to Redis: nothing of it is posted, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind, State
from connect_worker.ledger.redis import RedisLedger, connect
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

LOCK = Fernet.generate_key().decode()
LONG = 3600.0


def decision(reason: str) -> dict[str, Any]:
    return {
        "decision": {"outcome": "fail", "reason": reason},
        "seen": "",
        "pending_status": "pending",
        "fence": 1,
    }


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path, CONNECT_ENCRYPTION_KEY=LOCK) as stack:
        yield stack


def decide(ledger: RedisLedger, ref: RequestKey, reason: str) -> None:
    """Store a decision, as a worker does that dies before its post."""
    ledger.register([PendingRequest(ref)], seen_at=ledger.now(), requeue_seconds=LONG)
    claim = ledger.claim(ref, owner="w1", lease_seconds=LONG)
    assert isinstance(claim, Claim)
    ledger.decide(claim, decision(reason))
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0)


@pytest.mark.slow
def test_what_was_written_to_redis_is_parked_and_never_posted(stack: FaultStack) -> None:
    """With a key, only a worker makes decisions; a damaged record stops no other one."""
    stack.seed(fulfillment=24)
    ids = stack.ids("purchase")
    ledger = RedisLedger.from_url(stack.redis_url, account=stack.account, keys=[LOCK])
    own, plain, copied, step, another_type, no_state, no_fence = (
        RequestKey(RequestKind.FULFILLMENT, name) for name in ids[:7]
    )
    for ref in (own, plain, copied, step, another_type, no_state, no_fence):
        decide(ledger, ref, f"decided by a worker for {ref.id}")
    with connect(stack.redis_url) as client:

        def key(ref: RequestKey) -> str:
            return f"connect-worker:{{{stack.account}}}:request:{ref}"

        client.hset(key(plain), "d", json.dumps(decision("forged")))
        client.hset(key(copied), "d", str(client.hget(key(own), "d")))
        client.hdel(key(step), "d")
        client.hset(key(step), "j:step:1:tenant", '"TEN-666"')
        client.delete(key(another_type))
        client.lpush(key(another_type), "no", "hash")
        client.hset(key(no_state), "s", "happy")
        client.hset(key(no_fence), "f", "ten")
    damaged = [plain, copied, step, another_type, no_state, no_fence]

    listed = stack.answer("list")["requests"]
    corrupt = {item["id"] for item in listed if item["corrupt"]}
    assert corrupt >= {another_type.id, no_state.id, no_fence.id}
    assert own.id in {item["id"] for item in listed} - corrupt
    shown = stack.run("show", another_type.id)
    assert (shown.returncode, "its key in Redis holds no hash" in shown.stdout) == (0, True)
    said = " ".join(stack.run("doctor").stdout.split())
    assert "is corrupt: " in said
    assert "Traceback" not in stack.run("status", "--no-workers").stderr

    stack.work("one")
    done = {*ids} - {ref.id for ref in damaged}
    stack.until_soon(
        lambda: all(stack.entry(name)["status"] != "pending" for name in done), "the others"
    )
    stack.until_soon(stack.is_idle, "every job has ended")
    for ref in damaged:
        found = ledger.get_record(ref)
        assert found is not None
        assert (found.state, found.error[:13]) == (State.PARKED, "CorruptRecord"), found
        assert stack.entry(ref.id)["accepted"] == []
        assert stack.orders.runs(ref.id) == []
    [posted] = stack.entry(own.id)["accepted"]
    assert posted["action"] == "fail"

    answer = stack.answer("rerun", *(ref.id for ref in damaged), "--yes")
    assert sorted(answer["done"]) == sorted(ref.id for ref in damaged)
    stack.until_done()
    report = stack.report()
    del report["requests"][own.id]
    assert_each_resolved_once(report)
