"""How a request travels between Python and the scripts; the fields are named in `_prelude.lua`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from connect_worker.domain.metrics import OTHER, Durations, MetricCounts
from connect_worker.domain.states import (
    JSON,
    Backlog,
    Claim,
    Limits,
    PollReport,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    StateChange,
)
from connect_worker.ledger.encryption import STEP, STEP_TIME

#: An error is for a person to read; a traceback or an HTML page would fill the store.
MAX_ERROR_CHARS = 500


#: The word that is counted: a state, or an outcome.
W = TypeVar("W", bound=str)


def by_product(
    counted: Iterable[tuple[tuple[RequestKind, W, str], int]],
) -> dict[tuple[RequestKind, str], dict[W, int]]:
    """Put numbers of kind, word and product together by kind and product."""
    found: dict[tuple[RequestKind, str], dict[W, int]] = {}
    for (kind, word, product), number in counted:
        found.setdefault((kind, product), {})[word] = number
    return found


def by_kind(
    found: Mapping[tuple[RequestKind, str], Mapping[W, int]], *, words: Iterable[W] = ()
) -> dict[RequestKind, dict[W, int]]:
    """Add up over the products; every kind is there, with 0 for each of these words."""
    sums: dict[RequestKind, dict[W, int]] = {kind: dict.fromkeys(words, 0) for kind in RequestKind}
    for (kind, _), numbers in found.items():
        for word, number in numbers.items():
            sums[kind][word] = sums[kind].get(word, 0) + number
    return sums


def flat_measures(taken: MetricCounts) -> Iterator[str | int]:
    """Give measures as the scripts read them: the name, the product, how often."""
    for measure, times in taken.items():
        yield from (measure.prefix, measure.product, times)


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, the scripts' unit; `now()` survives the way there and back."""
    return round(seconds * 1000)


def microseconds_between(calls_per_second: float | None) -> int:
    """Return the time between two calls at this rate, a day at most; 0 without one."""
    if calls_per_second is None:
        return 0
    return round(1_000_000 * min(max(1 / calls_per_second, 0.000_001), 86_400))


def flat_limits(limits: Limits) -> Iterator[str | int]:
    """Give the limits of a kind as the claim's script reads them: product, limit, number."""
    for product, limit in limits.items():
        yield from (product, limit.name, limit.max_concurrent) if limit else (product, "", 0)


def flat_backlog(backlog: Backlog) -> str:
    """Give a backlog as the sweep's script reads it: `,usage,fulfillment/PRD-1+,…-,`."""
    names = [kind.value for kind in backlog.kinds]
    for (kind, product), waits in backlog.products.items():
        names.append(f"{kind}/{product}{'+' if waits else '-'}")
    return f",{','.join(names)},"


def to_text(document: JSON) -> str:
    """Write JSON so that equal documents are equal texts; ValueError for NaN and infinity."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def clip(error: str) -> str:
    """Return the beginning of an error, in characters that UTF-8 has."""
    if len(error) > MAX_ERROR_CHARS:
        error = error[: MAX_ERROR_CHARS - 1] + "…"
    return error.encode("utf-8", "backslashreplace").decode()


def to_claim(
    ref: RequestKey, fields: Mapping[str, str], *, lease_seconds: float, probe: bool, sealed: str
) -> Claim:
    """Read the claim that was just given."""
    return Claim(
        ref=ref,
        cycle=fields["v"],
        fence=int(fields["f"]),
        owner=fields["o"],
        attempt=int(fields.get("a", 0)),
        lease_seconds=lease_seconds,
        product=fields.get("p", ""),
        decision=_decision(fields),
        steps=_steps(fields),
        is_half_open_probe=probe,
        limit=fields.get("l", ""),
        decrypt_error=sealed,
        counted_as=OTHER if "m" in fields else fields.get("p", ""),
        snoozed_since=int(fields.get("z", 0)) / 1000,
    )


def to_entry(ref: RequestKey, fields: Mapping[str, str], *, sealed: str) -> RequestRecord:
    """Read a whole record."""
    state = State(fields["s"])
    return RequestRecord(
        ref=ref,
        state=state,
        cycle=fields["v"],
        fence=int(fields.get("f", 0)),
        attempt=int(fields.get("a", 0)),
        product=fields.get("p", ""),
        owner=fields["o"] if state.is_leased else "",
        due=int(fields.get("r", 0)) / 1000,
        decision=_decision(fields),
        steps=_steps(fields),
        step_times=_step_times(fields),
        outcome=fields.get("u", ""),
        error=fields.get("e", ""),
        first_seen=int(fields["b"]) / 1000,
        changed=int(fields["t"]) / 1000,
        earlier=tuple(fields.get("h", "").splitlines()),
        history=tuple(_history(fields)),
        snoozed_since=int(fields.get("z", 0)) / 1000,
        paused_by=fields.get("n", ""),
        decrypt_error=sealed,
    )


def poll_to_text(poll: PollReport) -> str:
    """Write what a poll has found; its time is the store's."""
    return to_text(
        {
            "seconds": round(poll.seconds, 3),
            "seen": poll.seen,
            "new": poll.new,
            "problem": clip(poll.problem),
        }
    )


def to_poll(text: str) -> PollReport:
    """Read a poll back, its time before it."""
    at, _, found = text.partition(" ")
    return PollReport(at=int(at) / 1000, **json.loads(found))


def to_durations(fields: Mapping[str, str]) -> dict[RequestKind, Durations]:
    """Read how long the cycles of one hour took; every kind is there."""
    counts: dict[RequestKind, dict[float, int]] = {kind: {} for kind in RequestKind}
    for name, number in fields.items():
        kind, _, bound = name.partition(":")
        counts[RequestKind(kind)][math.inf if bound == "more" else int(bound) / 1000] = int(number)
    return {kind: Durations(found) for kind, found in counts.items()}


def worker_of(owner: str) -> str:
    """Return an owner without the random part that tells its claims apart."""
    return owner.rpartition(":")[0] or owner


def _history(fields: Mapping[str, str]) -> Iterator[StateChange]:
    began = int(fields["b"])
    for line in fields.get("y", "").splitlines():
        since, state, *worker = line.split(" ", 2)
        yield StateChange((began + int(since)) / 1000, State(state), "".join(worker))


def _decision(fields: Mapping[str, str]) -> JSON:
    return json.loads(fields["d"]) if "d" in fields else None


def _steps(fields: Mapping[str, str]) -> dict[str, JSON]:
    return {
        name.removeprefix(STEP): json.loads(result)
        for name, result in fields.items()
        if name.startswith(STEP)
    }


def _step_times(fields: Mapping[str, str]) -> dict[str, float]:
    began = int(fields["b"])
    return {
        name.removeprefix(STEP_TIME): (began + int(since)) / 1000
        for name, since in fields.items()
        if name.startswith(STEP_TIME)
    }
