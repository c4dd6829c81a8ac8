"""One job: what it holds (claim, lease, journal, decision), its steps, and how it ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from connect_worker.domain.kinds import status_of
from connect_worker.domain.outcomes import Outcome, from_json, to_json
from connect_worker.domain.retry import NO_ERROR_RULES, Cause
from connect_worker.domain.secrets import (
    passwords_in,
    passwords_set_by,
    values_in,
    without_passwords,
)
from connect_worker.domain.states import JSON, Claim, ClaimDenied, RequestKey
from connect_worker.domain.steps import (
    as_json,
    entry_name,
    own_steps,
    require_name,
    require_no_password,
    step_key,
)
from connect_worker.engine.lease import Lease
from connect_worker.engine.ports import RequestRecords
from connect_worker.exceptions import (
    CorruptRecord,
    DecryptionKeyMissing,
    InvalidDecision,
    InvalidStep,
)
from connect_worker.observability.masking import mask_values, register_scoped_secrets


class JobStatus(StrEnum):
    """How a job ended.

    Examples:
        >>> JobStatus.RETRY.value
        'retry'
    """

    #: No claim was given; `JobResult.denied` says why.
    DENIED = "denied"
    #: The decision is posted, and the cycle has ended.
    COMPLETED = "completed"
    #: The request is due again later; no attempt was used.
    SNOOZED = "snoozed"
    #: After an error: the request, or the post of its decision, is due again later.
    RETRY = "retry"
    #: An operator has to look at the request.
    PARKED = "parked"
    #: Connect shows a decision of another user, and the cycle has ended.
    SUPERSEDED = "superseded"
    #: Another worker may own the request now; this job wrote nothing more.
    LEASE_LOST = "lease lost"


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended, for its caller."""

    status: JobStatus
    #: For people: `approved`, `nothing to do: busy`, `ConnectionError: …`.
    text: str
    #: With RETRY: seconds until the request is due again.
    retry_seconds: float | None = None
    #: With RETRY and PARKED: what kind of error it was.
    cause: Cause | None = None
    #: With DENIED: why.
    denied: ClaimDenied | None = None
    #: The request's product, if the ledger knows it.
    product: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome as the ledger stores it."""

    outcome: Outcome
    #: The request's `updated` when it was decided, by Connect's clock: separates messages of this
    #: cycle from those of an earlier one. "" when the document has none.
    seen: str = ""
    #: The status of the request when it was decided: while Connect still shows it, no one
    #: else has decided.
    pending_status: str = ""
    #: The fence of the claim that decided: each later claim is a try to post. 0 when not known.
    fence: int = 0

    def dump(self) -> dict[str, JSON]:
        """Return the document that the ledger stores."""
        return {
            "decision": to_json(self.outcome),
            "seen": self.seen,
            "pending_status": self.pending_status,
            "fence": self.fence,
        }

    @classmethod
    def load(cls, document: JSON) -> Decision:
        """Read a stored document; ValueError when it is not a decision."""
        return cls(
            from_json(document.get("decision")),
            str(document.get("seen") or ""),
            str(document.get("pending_status") or ""),
            int(document.get("fence") or 0),
        )


def _require_sendable(outcome: Outcome) -> None:
    """Refuse an outcome that no later attempt to post could send either."""
    try:
        json.dumps(to_json(outcome), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as exc:
        # Without what stands around it: that may be a password.
        raise InvalidDecision(
            f"the decision has the character {exc.object[exc.start]!a}, which UTF-8 can't "
            "encode: remove it from reasons, messages and parameters"
        ) from exc
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidDecision(f"the decision can't be written as JSON: {exc}") from exc


class Job:
    """The right to run one cycle once, and its journal.

    The journal survives a crash: a later attempt of the cycle finds the results of the finished
    steps and does not run them again. Every write is refused once the lease is lost.

    Args:
        ledger: Stores the journal and the decision.
        claim: What the ledger gave.
        lease: The claim's lease.
        key: The cycle's idempotency key.
    """

    def __init__(self, *, ledger: RequestRecords, claim: Claim, lease: Lease, key: str) -> None:
        self.claim = claim
        #: The cycle's idempotency key.
        self.key = key
        self.steps: dict[str, JSON] = dict(claim.steps)
        #: The request as Connect shows it; None until it is fetched.
        self.document: JSON = None
        #: The decision of this cycle, made by this job or by an earlier attempt.
        self.decision: Decision | None = None
        #: What the processor declares about errors, from the moment in which it runs.
        self.rules = NO_ERROR_RULES
        #: Whether a part of the decision may have reached Connect.
        self.is_posting = False
        self._ledger = ledger
        self._lease = lease

    @property
    def ref(self) -> RequestKey:
        """The request's key in the ledger."""
        return self.claim.ref

    def now(self) -> float:
        """Return the ledger's clock, in seconds since the epoch."""
        return self._ledger.now()

    def load_decision(self) -> Decision | None:
        """Return the decision that an earlier attempt of the cycle has stored, if there is one.

        Raises:
            DecryptionKeyMissing: The decision, or the result of a step, is encrypted with a key
                that this process does not have.
            CorruptRecord: The decision, or the result of a step, is damaged, or was not stored for
                this cycle.
            InvalidDecision: This version can't read the stored document.
        """
        if self.claim.decrypt_error:
            raise DecryptionKeyMissing(self.claim.decrypt_error)
        if self.claim.corrupt:
            raise CorruptRecord(
                f"{self.claim.corrupt}: nothing of it was posted. Look at the request in Connect; "
                "rerun drops what is corrupt, and processes the request again"
            )
        if self.claim.decision is not None:
            try:
                self.decision = Decision.load(self.claim.decision)
            except (AttributeError, TypeError, ValueError, OverflowError) as exc:
                raise InvalidDecision(f"the stored decision can't be read: {exc}") from exc
        return self.decision

    @property
    def is_decided(self) -> bool:
        """Whether a decision is stored, even one that this version can't read."""
        return self.decision is not None or self.claim.decision is not None

    @property
    def tries(self) -> int:
        """How often workers tried to post the decision, this job included; 0 without a decision.

        1 for a decision that an earlier version has stored without a fence.
        """
        if self.decision is None:
            return 0
        return self.claim.fence - self.decision.fence + 1 if self.decision.fence else 1

    def ensure_held(self) -> None:
        """Return only while this job owns the request; raise `LeaseLost` otherwise."""
        self._lease.ensure_held()

    def step(self, name: str, effect: Callable[[], JSON]) -> JSON:
        """Run an effect once per cycle and journal its JSON result; a rerun gets that result."""
        if name not in self.steps:
            self.ensure_held()
            self.record_step(name, effect())
        return self.steps[name]

    def record_step(self, name: str, result: JSON) -> None:
        """Journal a step as done."""
        self._ledger.record_step(self.claim, name, result)
        self.steps[name] = result

    def revoke(self) -> None:
        """Prevent all further writes of this job, and let its lease end."""
        self._lease.revoke()

    def without_values(self, text: str) -> str:
        """Mask the values of the request's parameters: Flower and Celery's log show the text."""
        return mask_values(text, values_in(self.document))

    def decide(self, outcome: Outcome) -> Decision:
        """Store the outcome, before anything of it is posted.

        Values of password parameters are not stored, and masked in the texts that quote them. After
        a crash a later job posts the stored decision, and Connect keeps the values that it has.

        Raises:
            InvalidDecision: Connect can't be sent the outcome; nothing is stored.
            LeaseLost: Another worker may own the request now; nothing is stored.
        """
        _require_sendable(outcome)
        register_scoped_secrets(passwords_set_by(outcome, self.document))
        seen = str((self.document or {}).get("updated") or "")[:64]
        decision = Decision(outcome, seen, status_of(self.document), self.claim.fence)
        self.ensure_held()
        stored = replace(decision, outcome=without_passwords(outcome, self.document))
        self._ledger.decide(self.claim, stored.dump())
        self.decision = decision
        return decision

    def result(
        self,
        status: JobStatus,
        text: str,
        *,
        retry_seconds: float | None = None,
        cause: Cause | None = None,
    ) -> JobResult:
        """Return a result that names the request's product."""
        return JobResult(status, text, retry_seconds, cause, product=self.claim.product)


# ---- the processor's own steps: each runs once per cycle, and the journal keeps its result


class Steps:
    """The steps of one run of the processor.

    The journal is replayed from its beginning: the steps that the code asks for must be the
    journaled ones, in the same order. After the last of them, steps run and are journaled, each
    under the job's fence.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._journal = own_steps(job.steps)
        #: The names of the steps whose results this run has, in order.
        self._completed: list[str] = []
        #: The step that raised in this run: only this one may be tried again.
        self._failed = ""
        #: The step that is running now.
        self._running = ""
        self._one_at_a_time = threading.Lock()
        #: Why the processor's outcome does not count, even if it catches the error.
        self.refused: InvalidStep | None = None

    @property
    def key(self) -> str:
        """The idempotency key of the step that is running.

        Raises:
            InvalidStep: No step is running.
        """
        if not self._running:
            raise self._refuse(
                "self.step_key exists only while a step runs, and was read before one: hand over a "
                "function, such as self.step('create-tenant', lambda: create(key=self.step_key))"
            )
        return step_key(self._job.key, self._running)

    def run(self, name: str, effect: Callable[[], object]) -> JSON:
        """Return the step's journaled result, or run the effect and journal its result.

        Raises:
            InvalidStep: The journal can't take it; earlier steps stay journaled.
            LeaseLost: Another worker may own the request; nothing is journaled.
            LedgerUnavailable: It is not known whether the result is journaled; the next attempt
                sees it.
        """
        if self.refused:
            raise self.refused
        if not self._one_at_a_time.acquire(blocking=False):
            raise self._refuse(
                f"step {name!r} begins while {self._running!r} is running: make one after the other"
            )
        try:
            return self._run(name, effect)
        except InvalidStep as error:
            self.refused = error
            raise
        finally:
            self._running = ""
            self._one_at_a_time.release()

    def _run(self, name: str, effect: Callable[[], object]) -> JSON:
        require_name(name)
        self._require_turn(name)
        number = len(self._completed) + 1
        if number <= len(self._journal):
            result = self._journal[number - 1].result
        else:
            self._job.ensure_held()
            self._running = self._failed = name
            result = as_json(name, effect())
            require_no_password(name, result, passwords_in(self._job.document))
            self._job.record_step(entry_name(number, name), result)
            self._failed = ""
        self._completed.append(name)
        return result

    def _require_turn(self, name: str) -> None:
        if name in self._completed:
            raise InvalidStep(f"two steps are named {name!r}: give each a name of its own")
        if self._failed not in ("", name):
            raise InvalidStep(
                f"step {name!r} begins after {self._failed!r} has failed: let its exception out, "
                "or deal with it inside of the step's function"
            )
        at = len(self._completed)
        if at < len(self._journal) and self._journal[at].name != name:
            done = ", ".join(repr(step.name) for step in self._journal)
            request = self._job.ref.id
            raise InvalidStep(
                f"step {at + 1} of this cycle was {self._journal[at].name!r}, and now the code "
                f"begins {name!r} there. Done are {done}. Put them back in that order and "
                f"`connect-worker rerun {request}`, or have all of them run again, under the same "
                f"keys: `connect-worker rerun --forget-steps {request}`"
            )

    def _refuse(self, why: str) -> InvalidStep:
        self.refused = InvalidStep(why)
        return self.refused
