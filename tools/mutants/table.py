"""The promises that mutants switch off, the edits that do it, and the tests that must fail.

Add a row for a new promise, with the tests that check it. The text of an edit must occur exactly
once in its file, so that a row cannot outlive its code (tests/unit/tools/test_mutants.py).
"""

from __future__ import annotations

from dataclasses import dataclass

DAMAGED = "tests/faults/test_damaged_ledger.py::"
ACCOUNTS = "tests/faults/test_account_in_trouble.py::"
KILLED = "tests/faults/test_killed_workers.py::"
LOST = "tests/faults/test_lost_replies.py::"
LONG = "tests/faults/test_long_jobs.py::"
STEPS = "tests/faults/test_steps.py::"
OTHERS = "tests/faults/test_other_people.py::"
TWICE = "tests/faults/test_second_runs.py::"
FOREIGN = "tests/faults/webhook/test_accounts.py::"
NOTICED = "tests/faults/webhook/test_at_once.py::"
CLOCKS = "tests/faults/test_wrong_clocks.py::"
UNTOLD = "tests/faults/webhook/test_trouble.py::"


@dataclass(frozen=True, slots=True)
class Edit:
    """One exact replacement."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One promise, and how to switch it off."""

    name: str
    edits: tuple[Edit, ...]
    #: pytest's ids; at least one of these tests must fail.
    tests: tuple[str, ...]
    #: Whether the promise is that something happens at all. Its tests then fail with a timeout. For
    #: any other mutant a timeout would only show that the mutant broke the worker.
    waits: bool = False


NO_LEASE_BACKUP = Edit(
    "connect_worker/engine/lease.py",
    "        elif ended is None and pid not in self._renewing:\n",
    "        elif False:\n",
)

MUTANTS = (
    Mutant(
        "no fence: a worker that lost the lease may write",
        (
            Edit(
                "connect_worker/ledger/lua/_prelude.lua",
                "local function check_claim(record, fence, owner, call)\n",
                "local function check_claim(record, fence, owner, call)\n"
                "  if true then return 'ok' end\n",
            ),
            Edit(
                "connect_worker/engine/lease.py",
                "if self.lost or self.age_seconds > self.claim.lease_seconds:",
                "if False:",
            ),
        ),
        (TWICE + "test_a_worker_frozen_past_its_lease_writes_nothing_when_it_wakes",),
    ),
    Mutant(
        "no heartbeat: leases are never renewed",
        (
            Edit(
                "connect_worker/engine/lease.py",
                "                if not lease.lost:\n                    lease.renew()\n",
                "                pass\n",
            ),
            NO_LEASE_BACKUP,
        ),
        (LONG + "test_a_processor_longer_than_its_lease_runs_once",),
    ),
    Mutant(
        "no lease backup: a process that holds the GIL loses its lease",
        (NO_LEASE_BACKUP,),
        (
            LONG
            + "test_a_processor_that_holds_the_gil_longer_than_its_lease_runs_once_under_prefork",
        ),
    ),
    Mutant(
        "a step of Redis's clock forward ends leases",
        (
            Edit(
                "connect_worker/ledger/lua/_prelude.lua",
                "    extend_leases(since, passed - MAX_GAP_MS)\n",
                "",
            ),
        ),
        (CLOCKS + "test_a_redis_whose_clock_is_set_forward_starts_no_second_run",),
    ),
    Mutant(
        "a step of Redis's clock back makes waits longer",
        (
            Edit(
                "connect_worker/ledger/lua/_prelude.lua",
                "      ahead = ahead - passed\n",
                "      ahead = 0\n",
            ),
        ),
        (CLOCKS + "test_a_redis_whose_clock_is_set_back_delays_nothing",),
        waits=True,
    ),
    Mutant(
        "no journal: a decision is posted without being stored first",
        (
            Edit(
                "connect_worker/engine/job.py",
                "        self._ledger.decide(self.claim, stored.dump())\n",
                "",
            ),
        ),
        (KILLED + "test_a_stored_decision_is_posted_by_another_without_a_second_run",),
    ),
    Mutant(
        "no exclusive claim: two owners at once",
        (
            Edit(
                "connect_worker/ledger/lua/claim.lua",
                "if LEASED[state] then\n",
                "if LEASED[state] and record.o == owner then\n",
            ),
        ),
        (TWICE + "test_a_message_that_comes_twice_starts_no_second_run",),
    ),
    Mutant(
        "the idempotency key is new for each attempt",
        (
            Edit(
                "connect_worker/engine/job_runner.py",
                "idempotency_key(runtime.account, claim.ref, claim.cycle)",
                'idempotency_key(runtime.account, claim.ref, f"{claim.cycle} {claim.attempt}")',
            ),
        ),
        (
            KILLED
            + "test_a_death_after_the_effect_repeats_the_call_with_the_same_key_and_not_the_effect",
        ),
    ),
    Mutant(
        "the idempotency key is the same for each cycle",
        (
            Edit(
                "connect_worker/engine/job_runner.py",
                "idempotency_key(runtime.account, claim.ref, claim.cycle)",
                'idempotency_key(runtime.account, claim.ref, "1")',
            ),
        ),
        (OTHERS + "test_a_customers_answer_begins_a_cycle_with_a_key_of_its_own",),
    ),
    Mutant(
        "the sweep rescues nothing",
        (
            Edit(
                "connect_worker/ledger/lua/take_due.lua",
                "    rescue(ref, key, record)\n",
                "    redis.call('ZADD', due, text(now + requeue), ref)\n",
            ),
        ),
        (
            KILLED
            + "test_a_child_killed_inside_the_processor_is_replaced_within_its_lease_and_a_sweep",
        ),
        waits=True,
    ),
    Mutant(
        "a stored decision is posted again without a check in Connect",
        (
            Edit(
                "connect_worker/engine/poster.py",
                "    if posting.compare_first and _is_done(posting, job.document):\n"
                '        return {"seen": posting.calls.resulting_status}\n',
                "",
            ),
        ),
        (KILLED + "test_a_post_whose_sender_is_killed_is_settled_by_looking",),
    ),
    Mutant(
        "the HTTP layer repeats a POST",
        (
            Edit(
                "connect_worker/api/transport.py",
                "NO_RETRIES.copy_for(self)",
                "_LimitedRetry(total=3, allowed_methods=None).copy_for(self)",
            ),
        ),
        (LOST + "test_a_message_whose_reply_is_lost_is_said_once",),
    ),
    Mutant(
        "a message is posted to the first conversation, whatever it is",
        (
            Edit(
                "connect_worker/api/responses.py",
                "    return sorted(found, key=is_open, reverse=True)\n",
                "    return list(rows)\n",
            ),
        ),
        (LOST + "test_each_message_is_said_once_in_its_open_conversation",),
    ),
    Mutant(
        "a poll enqueues known requests again",
        (
            Edit(
                "connect_worker/ledger/lua/register.lua",
                "    return FINAL[state] and state ~= 'discarded' and changed < seen\n",
                "    return true\n",
            ),
        ),
        (LONG + "test_a_processor_longer_than_its_lease_runs_once",),
    ),
    Mutant(
        "a request that a person decided is treated as pending",
        (
            Edit(
                "connect_worker/engine/poster.py",
                "        raise _SupersededError(status)\n",
                "        return False\n",
            ),
        ),
        (OTHERS + "test_what_a_person_decides_while_the_processor_runs_is_not_overwritten",),
    ),
    Mutant(
        "one account may use all processes of a worker",
        (
            Edit(
                "tasks/celery_support/fair_share.py",
                "        return free > kept and (running",
                "        return free > 0 or (running",
            ),
        ),
        (
            ACCOUNTS
            + "test_one_that_begins_to_hang_in_its_busiest_moment_leaves_a_process_to_the_other",
        ),
        waits=True,
    ),
    Mutant(
        "the signature of a notification is not checked",
        (
            Edit(
                "connect_worker/webhook/signature.py",
                'options: Any = {"verify_aud": False,',
                'options: Any = {"verify_signature": False, "verify_aud": False,',
            ),
        ),
        (FOREIGN + "test_each_account_has_its_place_and_its_secret",),
    ),
    Mutant(
        "a repeated notification is processed again",
        (
            Edit(
                "connect_worker/ledger/lua/add_hint.lua",
                "if before and before ~= call then\n",
                "if false then\n",
            ),
        ),
        (NOTICED + "test_several_receivers_share_what_they_remember",),
    ),
    Mutant(
        "a change hint whose message is lost is forgotten",
        (
            Edit(
                "connect_worker/engine/sweeper.py",
                "    runtime.publisher.publish_hints(",
                "    list(",
            ),
        ),
        (UNTOLD + "test_a_receiver_killed_before_it_has_notified_a_worker_loses_nothing",),
        waits=True,
    ),
    Mutant(
        "a decision that no worker has encrypted is posted",
        (
            Edit(
                "connect_worker/ledger/encryption.py",
                "            if self._reads_plain:\n",
                "            if True:\n",
            ),
        ),
        (DAMAGED + "test_what_was_written_to_redis_is_parked_and_never_posted",),
    ),
    Mutant(
        "a decision of another request is posted",
        (
            Edit(
                "connect_worker/ledger/encryption.py",
                "        if content[:_PLACE_BYTES] != self._digest(place):\n",
                "        if False:\n",
            ),
        ),
        (DAMAGED + "test_what_was_written_to_redis_is_parked_and_never_posted",),
    ),
    Mutant(
        "a finished step runs again",
        (
            Edit(
                "connect_worker/engine/job.py",
                "        if number <= len(self._journal):\n",
                "        if False:\n",
            ),
        ),
        (
            STEPS + "test_a_death_between_two_steps_repeats_no_step_and_one_inside_repeats_it_with_"
            "its_key",
        ),
    ),
)
