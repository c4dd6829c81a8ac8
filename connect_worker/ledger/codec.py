"""What Python and the Lua scripts agree on: constants and encoding.

`lua/_prelude.lua` names the fields of a record.

A record that can't be read as it should be is *corrupt*. Nothing here raises for it: it is returned
with what is wrong, so that it hides no other record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from connect_worker.domain.metrics import (
    ATTEMPTS,
    BOUNDS_MS,
    MAX_PRODUCTS,
    MORE,
    OTHER,
    RETRIES,
    WORKER_DIED,
    Durations,
    MetricCounts,
)
from connect_worker.domain.states import (
    ALL,
    FINAL_STATES,
    JSON,
    Backlog,
    Claim,
    Limits,
    Pause,
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    StateChange,
)
from connect_worker.ledger.encryption import Cipher, RecordValues, read_values
from connect_worker.logger import LogEvent, logger

Decoded = TypeVar("Decoded")

# ---- constants of both ledgers; `SHARED_CONSTANTS` below has those of the Lua scripts

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
#: The sweep checks a request that waits for a slot or an operator at least this often.
MAX_WAIT_MS: Final = HOUR_MS
#: How many names of earlier cycles a record keeps.
MAX_EARLIER_CYCLES: Final = 20
#: How many changes of state a record keeps.
MAX_STATE_CHANGES: Final = 24
#: When an open breaker denies claims, the requests become due spread over this time after its end.
MAX_SPREAD_MS: Final = 2000
#: How long a claim waits for another worker's half-open probe before it asks again.
MAX_PROBE_WAIT_MS: Final = 2000
#: Of a request whose message may still be in its queue, each 64th check sends another message.
MAX_CHECKS_PER_MESSAGE: Final = 64
#: No more calls than these wait for the rate limit: a longer queue means a clock set back.
MAX_WAITING_CALLS: Final = 10_000
#: After so long without a call the ledger was away, and no lease could be renewed: sweeps come more
#: often, and a lease that was renewed in time has more left.
MAX_GAP_MS: Final = 20_000
#: How many change hints are kept for single requests; beyond that, only for kinds.
MAX_HINTS: Final = 1000
#: A cycle whose name was lost with a corrupt record; no cycle has this name.
LOST_CYCLE: Final = "0"
#: Why a lease ended while its request was in the processor.
WORKER_LOST: Final = "the worker died, or its processor let no other thread run,"

_STATES: Final = frozenset(State)
#: The constants of the Lua scripts, by their names there.
SHARED_CONSTANTS: Final[Mapping[str, int | str | tuple[int, ...] | frozenset[State]]] = {
    "ALL_STATES": _STATES,
    "LEASED_STATES": frozenset(state for state in State if state.is_leased),
    "FINAL_STATES": FINAL_STATES,
    "DAY_MS": DAY_MS,
    "HOUR_MS": HOUR_MS,
    "MAX_WAIT_MS": MAX_WAIT_MS,
    "MAX_EARLIER_CYCLES": MAX_EARLIER_CYCLES,
    "MAX_STATE_CHANGES": MAX_STATE_CHANGES,
    "MAX_SPREAD_MS": MAX_SPREAD_MS,
    "MAX_PROBE_WAIT_MS": MAX_PROBE_WAIT_MS,
    "MAX_CHECKS_PER_MESSAGE": MAX_CHECKS_PER_MESSAGE,
    "MAX_WAITING_CALLS": MAX_WAITING_CALLS,
    "MAX_GAP_MS": MAX_GAP_MS,
    "MAX_HINTS": MAX_HINTS,
    "MAX_PRODUCTS": MAX_PRODUCTS,
    "DURATION_BOUNDS_MS": BOUNDS_MS,
    "ALL": ALL,
    "MORE": MORE,
    "OTHER": OTHER,
    "LOST_CYCLE": LOST_CYCLE,
    "ATTEMPTS": ATTEMPTS,
    "RETRIES": RETRIES,
    "WORKER_DIED": WORKER_DIED,
    "WORKER_LOST": WORKER_LOST,
}

#: An error is for a person to read; a traceback or an HTML page would fill the store.
MAX_ERROR_CHARS: Final = 500

# ---- arguments of the scripts


def encode_json(document: JSON) -> str:
    """Write JSON so that equal documents are equal texts; ValueError for NaN and infinity."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode_metrics(counts: MetricCounts) -> Iterator[str | int]:
    """Give metrics as the scripts read them: name, product and number, one after another."""
    for metric, number in counts.items():
        yield from (metric.prefix, metric.product, number)


def encode_limits(limits: Limits) -> Iterator[str | int]:
    """Give the limits of a kind as `claim.lua` reads them: product, limit and number."""
    for product, limit in limits.items():
        yield from (product, limit.name, limit.max_concurrent) if limit else (product, "", 0)


def encode_backlog(backlog: Backlog) -> str:
    """Give a backlog as `take_due.lua` reads it: `,usage,fulfillment/PRD-1+,…-,`."""
    names = [kind.value for kind in backlog.kinds]
    for (kind, product), waits in backlog.products.items():
        names.append(f"{kind}/{product}{'+' if waits else '-'}")
    return f",{','.join(names)},"


def encode_poll(poll: PollReport) -> str:
    """Write how a poll ended; the store adds the time."""
    return encode_json(
        {
            "seconds": round(poll.seconds, 3),
            "seen": poll.seen,
            "new": poll.new,
            "problem": poll.problem.value,
            "detail": truncate_error(poll.detail),
        }
    )


def truncate_error(error: str) -> str:
    """Return the beginning of an error, in characters that UTF-8 has."""
    if len(error) > MAX_ERROR_CHARS:
        error = error[: MAX_ERROR_CHARS - 1] + "…"
    return error.encode("utf-8", "backslashreplace").decode()


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, the scripts' unit; `now()` survives the way there and back."""
    return round(seconds * 1000)


def microseconds_between(calls_per_second: float | None) -> int:
    """Return the time between two calls at this rate, a day at most; 0 without a rate."""
    if calls_per_second is None:
        return 0
    return round(1_000_000 * min(max(1 / calls_per_second, 0.000_001), 86_400))


# ---- replies of the scripts

#: Put before the name of a step, for the time at which a step was done.
STEP_TIME_FIELD: Final = "i:"


#: What `Scripts` gives for a record whose key holds no hash.
NOT_A_HASH: Final[Mapping[str, str]] = {"": "another type"}
#: The last millisecond that a date can have.
_LAST_MS: Final = 253_402_300_799_999


def decode_claim(
    ref: RequestKey,
    stored: Mapping[str, str],
    *,
    cipher: Cipher,
    lease_seconds: float,
    is_half_open_probe: bool,
) -> Claim:
    """Read the claim that a script has just given: it has checked all that it reads itself."""
    values = read_values(ref, stored, cipher)
    return Claim(
        ref=ref,
        cycle=stored["v"],
        fence=int(stored["f"]),
        owner=stored["o"],
        attempt=int(stored.get("a", 0)),
        lease_seconds=lease_seconds,
        product=stored.get("p", ""),
        decision=values.decision,
        steps=values.steps,
        is_half_open_probe=is_half_open_probe,
        limit=stored.get("l", ""),
        decrypt_error=values.decrypt_error,
        corrupt=values.fault(),
        metric_product=OTHER if "m" in stored else stored.get("p", ""),
        snoozed_since=_number(stored, "z") / 1000,
    )


def decode_record(ref: RequestKey, stored: Mapping[str, str], *, cipher: Cipher) -> RequestRecord:
    """Read a whole record; a corrupt one with what can be read of it."""
    if fault := _record_fault(stored):
        # The next script that meets the record parks it: `_prelude.lua`.
        state = State.PARKED
        values = RecordValues(error=f"CorruptRecord: the record in the ledger is damaged: {fault}")
    else:
        state = State(stored["s"])
        values = read_values(ref, stored, cipher)
    return RequestRecord(
        ref=ref,
        state=state,
        cycle=stored.get("v", ""),
        fence=_number(stored, "f"),
        attempt=_number(stored, "a"),
        product=stored.get("p", ""),
        owner=stored.get("o", "") if state.is_leased else "",
        due=_number(stored, "r") / 1000,
        decision=values.decision,
        steps=values.steps,
        step_times=_step_times(stored),
        outcome=stored.get("u", ""),
        error=values.error,
        first_seen=_number(stored, "b") / 1000,
        changed=_number(stored, "t") / 1000,
        earlier=tuple(stored.get("h", "").splitlines()),
        history=tuple(_history(stored)),
        snoozed_since=_number(stored, "z") / 1000,
        paused_by=stored.get("n", ""),
        decrypt_error=values.decrypt_error,
        corrupt=fault or values.fault(),
    )


def _record_fault(stored: Mapping[str, str]) -> str:
    """Return why the scripts can't use a record; as `fault_of` in `_prelude.lua`."""
    if stored is NOT_A_HASH:
        return "its key in Redis holds no hash"
    if stored.get("s") not in _STATES:
        return "its state is missing or unknown"
    if not stored.get("v"):
        return "the name of its cycle is missing"
    for name in ("b", "t"):
        if name not in stored:
            return f"its field {name} is missing"
    for name in ("f", "r", "a", "t", "w", "b", "k"):
        if name in stored and not _is_whole(stored[name]):
            return f"its field {name} is no whole number"
    if State(stored["s"]).is_leased and "o" not in stored:
        return "its owner is missing"
    return ""


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_LAST_MS))


def _number(stored: Mapping[str, str], name: str) -> int:
    """Return a field as a number; 0 when it is missing, or a date could not have it."""
    text = stored.get(name, "")
    return min(int(text), _LAST_MS) if _is_whole(text) else 0


def decode_poll(text: str) -> PollReport:
    """Read how a poll ended, with the time before it.

    Raises:
        ValueError, TypeError, LookupError: The text is something else.
    """
    at, _, report = text.partition(" ")
    fields = json.loads(report)
    return PollReport(
        at=_time(at),
        seconds=float(fields["seconds"]),
        seen=int(fields["seen"]),
        new=int(fields["new"]),
        problem=PollProblem(fields["problem"]),
        detail=str(fields["detail"]),
    )


def decode_pause(text: str, *, requests: int) -> Pause:
    """Read an operator's pause, with the time before its reason; any text pauses."""
    since, _, reason = text.partition(" ")
    return Pause(_time(since), reason, requests) if _is_whole(since) else Pause(0, text, requests)


def _time(text: str) -> float:
    if not _is_whole(text):
        raise ValueError(f"{text[:40]!r} is no time")
    return min(int(text), _LAST_MS) / 1000


def decode_durations(fields: Mapping[str, str]) -> dict[RequestKind, Durations]:
    """Read how long the cycles of one hour took; every kind is there."""

    def decode(name: str, text: str) -> tuple[RequestKind, float, int]:
        kind, _, bound = name.partition(":")
        if bound != MORE and int(bound) not in BOUNDS_MS:
            raise ValueError(f"{bound!r} is no bound")
        seconds = math.inf if bound == MORE else int(bound) / 1000
        return RequestKind(kind), seconds, int(text)

    counts: dict[RequestKind, dict[float, int]] = {kind: {} for kind in RequestKind}
    for kind, bound, number in decode_fields(fields, decode):
        counts[kind][bound] = number
    return {kind: Durations(by_bound) for kind, by_bound in counts.items()}


def decode_fields(
    fields: Mapping[str, str], decode: Callable[[str, str], Decoded]
) -> Iterator[Decoded]:
    """Yield the fields of a hash; one that can't be read costs no other one, and is logged."""
    for name, text in fields.items():
        try:
            yield decode(name, text)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            logger.warning(LogEvent("ledger.field_corrupt", name=name[:100], value=text[:100]))


def worker_name(owner: str) -> str:
    """Return an owner without the random part that distinguishes the claims of one worker."""
    return owner.rpartition(":")[0] or owner


def _history(stored: Mapping[str, str]) -> Iterator[StateChange]:
    for line in stored.get("y", "").splitlines():
        since, state, *worker = (*line.split(" ", 2), "")[:3]
        if state in _STATES and (at := _since_began(stored, since)) is not None:
            yield StateChange(at, State(state), "".join(worker))


def _step_times(stored: Mapping[str, str]) -> dict[str, float]:
    return {
        name.removeprefix(STEP_TIME_FIELD): at
        for name, since in stored.items()
        if name.startswith(STEP_TIME_FIELD) and (at := _since_began(stored, since)) is not None
    }


def _since_began(stored: Mapping[str, str], since: str) -> float | None:
    """Return a time that is stored as milliseconds since the cycle began; None if it is none.

    It is negative after the clock was set back.
    """
    if not _is_whole(since.removeprefix("-")):
        return None
    return min(max(_number(stored, "b") + int(since), 0), _LAST_MS) / 1000


# ---- counters of both ledgers

#: What is counted: a state, or an outcome.
W = TypeVar("W", bound=str)


def group_by_product(
    counted: Iterable[tuple[tuple[RequestKind, W, str], int]],
) -> dict[tuple[RequestKind, str], dict[W, int]]:
    """Group numbers of kind, word and product by kind and product."""
    groups: dict[tuple[RequestKind, str], dict[W, int]] = {}
    for (kind, word, product), number in counted:
        groups.setdefault((kind, product), {})[word] = number
    return groups


def sum_by_kind(
    groups: Mapping[tuple[RequestKind, str], Mapping[W, int]], *, words: Iterable[W] = ()
) -> dict[RequestKind, dict[W, int]]:
    """Add up over the products; every kind is there, with 0 for each of these words."""
    sums: dict[RequestKind, dict[W, int]] = {kind: dict.fromkeys(words, 0) for kind in RequestKind}
    for (kind, _), numbers in groups.items():
        for word, number in numbers.items():
            sums[kind][word] = sums[kind].get(word, 0) + number
    return sums
