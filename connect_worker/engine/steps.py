"""The processor's own steps: each runs once per cycle, and the journal keeps its result."""

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
