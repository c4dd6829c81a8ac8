"""What happened to a request in its visit, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from connect_worker.processing.states import Entry, State
from connect_worker.processing.steps import shown_name

#: A shorter time between two moments is not told.
WORTH_TELLING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline: a change of state, or a step of the processor's that was done."""

    at: float
    #: The state from then on; of a step, the one in which it was done.
    state: State
    #: The worker that claimed it then; "" when nobody did.
    worker: str = ""
    #: The name of the step; "" for a change of state.
    step: str = ""
    #: Seconds since the line before; None when that is not worth telling.
    waited: float | None = None


def timeline(entry: Entry) -> list[Line]:
    """Return the changes of a visit's state, with the processor's steps between them."""
    found = [
        (one.at, 2 * index, Line(one.at, one.state, one.worker))
        for index, one in enumerate(entry.history)
    ]
    for name, at in entry.step_times.items():
        # Of moments in one millisecond the clock tells no order, and a step runs in `running`.
        during = [
            2 * index + 1
            for index, one in enumerate(entry.history)
            if one.state is State.RUNNING and one.at <= at
        ]
        # The first changes of a long visit are forgotten; its steps are not.
        line = Line(at, State.RUNNING, step=shown_name(name))
        found.append((at, during[-1] if during else -1, line))
    return _with_waits([line for _, _, line in sorted(found, key=lambda one: one[:2])])


def steps_of(entry: Entry) -> list[str]:
    """Return the names of the steps that are done: the processor's in their order, then others."""
    names = sorted(entry.steps, key=lambda name: (entry.step_times.get(name, inf), name))
    return [shown_name(name) for name in names]


def _with_waits(lines: list[Line]) -> list[Line]:
    told: list[Line] = []
    for line in lines:
        waited = line.at - told[-1].at if told else 0.0
        worth = waited if waited >= WORTH_TELLING_SECONDS else None
        told.append(Line(line.at, line.state, line.worker, line.step, worth))
    return told
