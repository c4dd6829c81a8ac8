"""With a key, what customers or a vendor's system may have written is stored encrypted."""

from __future__ import annotations

import pytest
import redis
from cryptography.fernet import Fernet

from connect_worker.domain.states import Claim, State
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.codec import ENCRYPTED_PREFIX, HIDDEN
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import LONG, PR, assert_consistent, look, posting, running, take

CANARY = "canary of the customer's"
DECISION = {"type": "fail", "reason": f"{CANARY}: é ☃"}
KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def sealed(client: redis.Redis, account: str) -> RedisLedger:
    return RedisLedger(client, account=account, keys=[KEY])


def with_keys(client: redis.Redis, account: str, *keys: str) -> RedisLedger:
    return RedisLedger(client, account=account, keys=keys)


def stored(client: redis.Redis, account: str) -> dict[str, str]:
    """The fields of the one record, as they are in Redis."""
    fields: dict[str, str] = client.hgetall(f"connect-worker:{{{account}}}:request:{PR}")  # type: ignore[assignment]  # redis-py's
    return fields


def decided(ledger: RedisLedger) -> Claim:
    """A cycle with all that may hold what somebody wrote: a decision, a step, an error."""
    claim = running(ledger)
    ledger.record_step(claim, "tenant", {"answer": CANARY})
    ledger.decide(claim, DECISION)
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0, error=f"Timeout: {CANARY}")
    return claim


def test_nothing_that_was_written_is_readable_in_redis(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    fields = stored(client, account)
    assert "canary" not in str(fields)
    assert {name for name, value in fields.items() if value.startswith(ENCRYPTED_PREFIX)} == {
        *("d", "e", "j:tenant")
    }


def test_it_is_read_with_the_key(sealed: RedisLedger) -> None:
    decided(sealed)
    entry = look(sealed)
    assert (entry.decision, entry.steps) == (DECISION, {"tenant": {"answer": CANARY}})
    assert (entry.error, entry.decrypt_error) == (f"Timeout: {CANARY}", "")
    assert sealed.get_records([entry.ref]) == [entry]
    claim = take(sealed)
    assert (claim.decision, claim.steps, claim.decrypt_error) == (entry.decision, entry.steps, "")


def test_what_was_stored_without_a_key_stays_readable(
    client: redis.Redis, account: str, sealed: RedisLedger
) -> None:
    decided(with_keys(client, account))
    assert look(sealed).decision == DECISION
    assert take(sealed).steps == {"tenant": {"answer": CANARY}}


@pytest.mark.parametrize("keys", [(), (OTHER_KEY,)])
def test_without_its_key_a_claim_says_so_and_the_record_stays(
    sealed: RedisLedger, client: redis.Redis, account: str, keys: tuple[str, ...]
) -> None:
    decided(sealed)
    before = stored(client, account)
    poor = with_keys(client, account, *keys)
    claim = take(poor)
    assert "CONNECT_ENCRYPTION_KEY" in claim.decrypt_error
    assert (claim.decision, claim.steps) == (HIDDEN, {"tenant": HIDDEN})
    entry = look(poor)
    assert (entry.decision, entry.error) == (HIDDEN, HIDDEN)
    assert entry.decrypt_error == claim.decrypt_error
    poor.reschedule(claim, State.DECIDED, delay_seconds=0, error="no key", attempt_used=False)
    after = stored(client, account)
    assert (after["d"], after["j:tenant"]) == (before["d"], before["j:tenant"])
    assert take(sealed).decision == DECISION


def test_of_several_keys_the_first_encrypts_and_each_decrypts(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    both = with_keys(client, account, OTHER_KEY, KEY)
    assert take(both).decision == DECISION
    new = with_keys(client, account, OTHER_KEY)
    both.record_step(take(both), "mailbox", "box")
    assert look(new).steps["mailbox"] == "box"
    assert look(new).steps["tenant"] == HIDDEN


def test_when_the_key_is_lost_the_field_can_be_deleted_and_the_cycle_decided_anew(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    for field in ("d", "j:tenant"):
        client.hdel(f"connect-worker:{{{account}}}:request:{PR}", field)
    other = with_keys(client, account, OTHER_KEY)
    claim = take(other)
    assert (claim.decision, claim.steps) == (None, {})
    assert_consistent(client, account)
    other.decide(claim, DECISION)
    assert look(other).state is State.POSTING


def test_an_equal_decision_is_taken_twice_and_another_one_refused(sealed: RedisLedger) -> None:
    claim = posting(sealed)
    sealed.decide(claim, {"template_id": "TL-000-000-000", "type": "approve"})
    with pytest.raises(LeaseLost, match="another decision"):
        sealed.decide(claim, DECISION)
    sealed.complete(claim, "approved", keep_seconds=LONG)
    with pytest.raises(LeaseLost):
        sealed.decide(claim, {"template_id": "TL-000-000-000", "type": "approve"})


def test_what_a_sweep_writes_needs_no_key(
    client: redis.Redis, account: str, sealed: RedisLedger
) -> None:
    claim = running(sealed, lease_seconds=0.001)
    assert claim.attempt == 1
    while not sealed.take_due(limit=10, requeue_seconds=LONG, max_attempts=1).parked:
        pass
    assert "died in attempt 1 of 1" in look(with_keys(client, account)).error


def test_a_person_may_repost_what_only_workers_can_read(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    sealed.park(posting(sealed), CANARY)
    poor = with_keys(client, account)
    assert poor.repost(PR)
    assert take(sealed).decision is not None
