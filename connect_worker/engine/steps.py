"""The steps that a processor makes itself: each is run once a cycle, and its result is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

from connect_worker.domain.secrets import passwords_in
from connect_worker.domain.states import JSON
from connect_worker.domain.steps import (
    as_json,
    entry_name,
    own_steps,
    require_name,
    require_no_password,
    step_key,
)
from connect_worker.engine.job import Job
from connect_worker.exceptions import InvalidStep


class Steps:
    """One run's way through the steps of its cycle.

    The journal is read from its beginning: as long as it has steps, the ones that the code asks for
    are those, in that order. From then on they are run and journaled, each under the job's fence.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._journal = own_steps(job.steps)
        #: The names that this run has the results of, in order.
        self._passed: list[str] = []
        #: The step that raised in this run: only it may be tried again.
        self._failed = ""
        #: The step that is running now.
        self._running = ""
        self._one_at_a_time = threading.Lock()
        #: Why the processor's result does not count, whatever it makes of the error.
        self.refused: InvalidStep | None = None

    @property
    def key(self) -> str:
        """The idempotency key of the step that is running.

        Raises:
            InvalidStep: None is.
        """
        if not self._running:
            raise self._refuse(
                "self.step_key is there while a step runs, and is asked for before it: hand over "
                "a function, such as self.step('create-tenant', lambda: create(key=self.step_key))"
            )
        return step_key(self._job.key, self._running)

    def run(self, name: str, effect: Callable[[], object]) -> JSON:
        """Return the step's result: the journaled one, or that of the effect, journaled.

        Raises:
            InvalidStep: The journal can't take it; what the cycle has journaled stays.
            LeaseLost: Another worker owns the request; nothing is journaled.
            LedgerUnavailable: Whether it is journaled is not known: a rerun finds out.
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
        number = len(self._passed) + 1
        if number <= len(self._journal):
            result = self._journal[number - 1].result
        else:
            self._job.ensure_held()
            self._running = self._failed = name
            result = as_json(name, effect())
            require_no_password(name, result, passwords_in(self._job.document))
            self._job.record_step(entry_name(number, name), result)
            self._failed = ""
        self._passed.append(name)
        return result

    def _require_turn(self, name: str) -> None:
        if name in self._passed:
            raise InvalidStep(f"two steps are named {name!r}: give each a name of its own")
        if self._failed not in ("", name):
            raise InvalidStep(
                f"step {name!r} begins after {self._failed!r} has failed: let its exception out, "
                "or deal with it inside of the step's function"
            )
        at = len(self._passed)
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
