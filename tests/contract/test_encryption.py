"""With a key, what customers or a vendor's system may have written is stored encrypted."""

from __future__ import annotations

import time

import pytest
import redis
from cryptography.fernet import Fernet

from connect_worker.domain.states import Claim, RequestKey, State
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.encryption import CORRUPT, ENCRYPTED_PREFIX, HIDDEN
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.environment import PLAIN_KEY
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    assert_consistent,
    claim_of,
    posting,
    record_of,
    register,
    running,
)

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
    entry = record_of(sealed)
    assert (entry.decision, entry.steps) == (DECISION, {"tenant": {"answer": CANARY}})
    assert (entry.error, entry.decrypt_error) == (f"Timeout: {CANARY}", "")
    assert sealed.get_records([entry.ref]) == [entry]
    claim = claim_of(sealed)
    assert (claim.decision, claim.steps, claim.decrypt_error) == (entry.decision, entry.steps, "")


# ---- a person who can write to Redis


def key_of(account: str, ref: RequestKey = PR) -> str:
    return f"connect-worker:{{{account}}}:request:{ref}"


FORGED = '{"decision": {"outcome": "approve", "template_id": "TL-6", "tile": null}}'


@pytest.mark.parametrize("name", ["d", "j:tenant", "j:step:1:tenant"])
def test_a_value_that_is_not_encrypted_is_not_used(
    sealed: RedisLedger, client: redis.Redis, account: str, name: str
) -> None:
    decided(sealed)
    client.hset(key_of(account), name, FORGED)
    claim = claim_of(sealed)
    assert "is not encrypted: it was stored before CONNECT_ENCRYPTION_KEY was set" in claim.corrupt
    assert CORRUPT in (claim.decision, *claim.steps.values())
    assert record_of(sealed).corrupt == claim.corrupt
    sealed.park(claim, claim.corrupt)
    assert sealed.rerun(PR)
    assert claim_of(sealed).corrupt == ""


@pytest.mark.parametrize("left", [0, 1, 40, 100, -1, -2, -7])
def test_a_value_that_was_cut_off_is_corrupt_and_not_one_of_another_key(
    sealed: RedisLedger, client: redis.Redis, account: str, left: int
) -> None:
    decided(sealed)
    token = stored(client, account)["d"].removeprefix(ENCRYPTED_PREFIX)
    client.hset(key_of(account), "d", f"{ENCRYPTED_PREFIX}{token[:left]}")
    claim = claim_of(sealed)
    assert (claim.corrupt, claim.decrypt_error) == (
        "the stored decision is cut off or damaged",
        "",
    )


@pytest.mark.parametrize("token", ["é", "gAAAA é", "\x00", "🦊" * 100])
@pytest.mark.parametrize("name", ["d", "e", "j:tenant"])
def test_a_token_of_characters_that_no_token_has_is_corrupt(
    sealed: RedisLedger, client: redis.Redis, account: str, name: str, token: str
) -> None:
    decided(sealed)
    client.hset(key_of(account), name, f"{ENCRYPTED_PREFIX}{token}")
    record = record_of(sealed)
    assert CORRUPT in (record.decision, record.error, *record.steps.values())
    assert [item.ref for item in sealed.iter_records()] == [PR]
    # An error is only shown: a claim does without it.
    assert bool(claim_of(sealed).corrupt) == (name != "e")


COPIED = "was stored for another request, cycle or field, and copied"


def test_a_value_of_another_request_is_not_used(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    running(sealed, OTHER)
    client.hset(key_of(account, OTHER), "d", stored(client, account)["d"])
    assert record_of(sealed, OTHER).corrupt == f"the stored decision {COPIED}"


def test_a_value_of_another_account_is_not_used(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    client.hset(key_of(f"{account}-2"), mapping=stored(client, account))  # type: ignore[arg-type]  # redis-py's
    other = with_keys(client, f"{account}-2", KEY)
    assert COPIED in claim_of(other).corrupt


def test_a_value_of_an_earlier_cycle_is_not_used(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    old = stored(client, account)["d"]
    sealed.supersede(claim_of(sealed), "approved", keep_seconds=LONG)
    time.sleep(0.01)
    register(sealed)
    claim_of(sealed)
    client.hset(key_of(account), "d", old)
    entry = record_of(sealed)
    assert (entry.cycle, entry.corrupt) == ("2", f"the stored decision {COPIED}")


def test_a_result_is_no_decision_and_no_other_result(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    result = stored(client, account)["j:tenant"]
    client.hset(key_of(account), mapping={"d": result, "j:mailbox": result, "e": result})
    entry = record_of(sealed)
    assert entry.decision == entry.steps["mailbox"] == entry.error == CORRUPT
    assert entry.steps["tenant"] == {"answer": CANARY}


# ---- from plain values to encrypted ones, and from one key to the next


def test_what_was_stored_without_a_key_is_read_while_plain_is_among_the_keys(
    client: redis.Redis, account: str
) -> None:
    decided(with_keys(client, account))
    for keys in ((PLAIN_KEY, KEY), (KEY, PLAIN_KEY)):
        both = with_keys(client, account, *keys)
        assert record_of(both).decision == DECISION
        assert claim_of(both).steps == {"tenant": {"answer": CANARY}}
        both.reschedule(claim_of(both), State.DECIDED, delay_seconds=0)
    assert "is not encrypted" in record_of(with_keys(client, account, KEY)).corrupt


def test_plain_writes_only_where_it_comes_first(client: redis.Redis, account: str) -> None:
    first = with_keys(client, account, PLAIN_KEY, KEY)
    first.record_step(running(first), "tenant", 1)
    assert stored(client, account)["j:tenant"] == "1"
    last = with_keys(client, account, KEY, PLAIN_KEY)
    last.record_step(claim_of(last), "mailbox", 2)
    assert stored(client, account)["j:mailbox"].startswith(ENCRYPTED_PREFIX)
    assert record_of(first).steps == {"tenant": 1, "mailbox": 2}


@pytest.mark.parametrize("keys", [(), (OTHER_KEY,)])
def test_without_its_key_a_claim_says_so_and_the_record_stays(
    sealed: RedisLedger, client: redis.Redis, account: str, keys: tuple[str, ...]
) -> None:
    decided(sealed)
    before = stored(client, account)
    poor = with_keys(client, account, *keys)
    claim = claim_of(poor)
    assert "CONNECT_ENCRYPTION_KEY" in claim.decrypt_error
    assert (claim.decision, claim.steps) == (HIDDEN, {"tenant": HIDDEN})
    entry = record_of(poor)
    assert (entry.decision, entry.error) == (HIDDEN, HIDDEN)
    assert entry.decrypt_error == claim.decrypt_error
    poor.reschedule(claim, State.DECIDED, delay_seconds=0, error="no key", attempt_used=False)
    after = stored(client, account)
    assert (after["d"], after["j:tenant"]) == (before["d"], before["j:tenant"])
    assert claim_of(sealed).decision == DECISION


def test_of_several_keys_the_first_encrypts_and_each_decrypts(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    both = with_keys(client, account, OTHER_KEY, KEY)
    assert claim_of(both).decision == DECISION
    new = with_keys(client, account, OTHER_KEY)
    both.record_step(claim_of(both), "mailbox", "box")
    assert record_of(new).steps["mailbox"] == "box"
    assert record_of(new).steps["tenant"] == HIDDEN


def test_when_the_key_is_lost_the_field_can_be_deleted_and_the_cycle_decided_again(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    decided(sealed)
    for field in ("d", "j:tenant"):
        client.hdel(f"connect-worker:{{{account}}}:request:{PR}", field)
    other = with_keys(client, account, OTHER_KEY)
    claim = claim_of(other)
    assert (claim.decision, claim.steps) == (None, {})
    assert_consistent(client, account)
    other.decide(claim, DECISION)
    assert record_of(other).state is State.POSTING


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
    assert "in attempt 1 of 1" in record_of(with_keys(client, account)).error


def test_a_person_may_repost_what_only_workers_can_read(
    sealed: RedisLedger, client: redis.Redis, account: str
) -> None:
    sealed.park(posting(sealed), CANARY)
    poor = with_keys(client, account)
    assert poor.repost(PR)
    assert claim_of(sealed).decision is not None
