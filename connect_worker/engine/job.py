"""One run of a processor over one request: what it may know and do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from connect_worker.domain.kinds import status_of
from connect_worker.domain.outcomes import Outcome, from_json, to_json
from connect_worker.domain.retry import NO_ERROR_RULES, ErrorRules
from connect_worker.domain.secrets import given_passwords, values_in, without_passwords
from connect_worker.domain.states import JSON, Claim, RequestKey
from connect_worker.engine.deadline import Deadline
from connect_worker.engine.lease import Lease
from connect_worker.engine.ports import RequestRecords
from connect_worker.exceptions import DecryptionKeyMissing, InvalidDecision
from connect_worker.observability.masking import mask_values, register_scoped_secrets


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome as the ledger keeps it."""

    outcome: Outcome
    #: The request's `updated` when it was decided, by Connect's clock: tells messages of this cycle
    #: from those of an earlier one. "" when the document has none.
    seen: str = ""
    #: The status in which the request waited: while Connect still shows it, nobody else has
    #: decided.
    waited_as: str = ""
    #: Of the claim that decided: each later one has tried to post it. 0 where it is not known.
    fence: int = 0

    def dump(self) -> dict[str, JSON]:
        """Return the document that is stored."""
        return {
            "decision": to_json(self.outcome),
            "seen": self.seen,
            "waited_as": self.waited_as,
            "fence": self.fence,
        }

    @classmethod
    def load(cls, document: JSON) -> Decision:
        """Read a stored document; ValueError when it is no decision."""
        return cls(
            from_json(document.get("decision")),
            str(document.get("seen") or ""),
            str(document.get("waited_as") or ""),
            int(document.get("fence") or 0),
        )


class Job:
    """The right to run one cycle once, and its journal.

    What is journaled survives a crash: a rerun of the cycle finds the results of its done steps and
    never runs them again. Every write is refused once the lease is lost.
    """

    def __init__(self, *, ledger: RequestRecords, claim: Claim, pulse: Lease, key: str) -> None:
        self.claim = claim
        #: The cycle's idempotency key.
        self.key = key
        self.steps: dict[str, JSON] = dict(claim.steps)
        #: What was decided in this cycle, here or by an earlier run.
        self.decision: Decision | None = None
        #: What its processor says of errors, from the moment in which it begins.
        self.rules = NO_ERROR_RULES
        #: Whether something of the decision was on its way to Connect.
        self.is_posting = False
        #: The end of its time inside the processor.
        self.deadline: Deadline | None = None
        self._ledger = ledger
        self._pulse = pulse
        self._document: JSON = None

    @property
    def ref(self) -> RequestKey:
        """The request's name in the ledger."""
        return self.claim.ref

    def read_decision(self) -> None:
        """Take over what an earlier run of the cycle has decided.

        Raises:
            DecryptionKeyMissing: The decision, or the result of a step, is encrypted with a key
                that this process does not have.
            InvalidDecision: What the ledger has is none that this version can read.
        """
        if self.claim.decrypt_error:
            raise DecryptionKeyMissing(self.claim.decrypt_error)
        if self.claim.decision is None:
            return
        try:
            self.decision = Decision.load(self.claim.decision)
        except (AttributeError, ValueError) as exc:
            raise InvalidDecision(f"the stored decision can't be read: {exc}") from exc

    @property
    def is_decided(self) -> bool:
        """Whether a decision is stored, though it may be one that can't be read here."""
        return self.decision is not None or self.claim.decision is not None

    @property
    def tries(self) -> int:
        """How often the decision was posted, this time included; 0 without one.

        1 for one that an earlier version has stored, which did not say when.
        """
        if self.decision is None:
            return 0
        return self.claim.fence - self.decision.fence + 1 if self.decision.fence else 1

    def ensure_held(self) -> None:
        """Return only while this job still owns the request; `LeaseLost` otherwise."""
        self._pulse.ensure_held()

    @property
    def document(self) -> JSON:
        """The request as Connect showed it at the job's beginning."""
        return self._document

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

    def open(self, document: JSON) -> None:
        """Take note of the request as Connect shows it at the job's beginning."""
        self._document = document

    def begin(self, rules: ErrorRules) -> None:
        """Take note of the processor's rules: from here on it is the user's code that runs."""
        self.rules = rules
        if rules.time_limit is not None and self.deadline:
            self.deadline.start(rules.time_limit)

    def revoke(self) -> None:
        """Let this run write nothing more, and its lease end."""
        self._pulse.lost = True

    def without_values(self, text: str) -> str:
        """Return a text for all who see Flower: no value of the request's parameters is in it."""
        return mask_values(text, values_in(self._document))

    def decide(self, outcome: Outcome) -> None:
        """Store what the processor decided, before anything of it is posted.

        Values of password parameters are not stored. A later run, after a crash, posts the decision
        without them, and Connect keeps the values that it has.

        Raises:
            InvalidDecision: When the run has decided something else already.
            LeaseLost: When another worker owns the request by now; nothing is stored.
        """
        if self.deadline:
            self.deadline.end()
        register_scoped_secrets(given_passwords(outcome, self._document))
        seen = str((self._document or {}).get("updated") or "")
        decision = Decision(outcome, seen, status_of(self._document), self.claim.fence)
        if self.decision is not None and self.decision.outcome != outcome:
            raise InvalidDecision(
                f"{self.ref}: decided twice, first {self.decision.outcome!r}, then {outcome!r}"
            )
        if self.decision is None:
            self.ensure_held()
            stored = replace(decision, outcome=without_passwords(outcome, self._document))
            self._ledger.decide(self.claim, stored.dump())
            self.decision = decision
