"""What the requests of an account share, in Redis: breaker, rate limit, locks, hints, counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from uuid import uuid4

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import (
    WORKER_SECONDS,
    HourlyCompletions,
    Metric,
    MetricBuffer,
    MetricCounts,
    NullMetricBuffer,
    WorkerLoad,
)
from connect_worker.domain.states import (
    BreakerState,
    PollReport,
    RateLimitResult,
    RequestKind,
    State,
)
from connect_worker.ledger.codec import (
    DAY_MS,
    HOUR_MS,
    W,
    decode_durations,
    decode_fields,
    decode_poll,
    encode_metrics,
    encode_poll,
    group_by_product,
    microseconds_between,
    milliseconds,
    sum_by_kind,
    truncate_error,
)
from connect_worker.ledger.scripts import Scripts
from connect_worker.logger import LogEvent, logger

#: How many of a kind's oldest requests are checked for their products: Redis takes 2 ms for it.
MAX_OLDEST_CHECKED: Final = 1000


class RedisAccount:
    """The part of `RedisLedger` that is about no single request.

    Args:
        scripts: Of the account.
        metric_buffer: What this process counts; it is stored with the end of a job or a poll.
    """

    def __init__(self, scripts: Scripts, *, metric_buffer: MetricBuffer | None) -> None:
        self._scripts = scripts
        self._metric_buffer = metric_buffer or NullMetricBuffer()

    def now(self) -> float:
        """Return Redis's clock, in seconds since the epoch; the one that the scripts read."""
        milliseconds_since_epoch: int = self._scripts.run("now")
        return milliseconds_since_epoch / 1000

    def write_problem(self) -> str:
        """Return why Redis refuses to store anything, and the remedy; "" when it does not refuse.

        A Redis that is full, read-only or without its replicas still answers every question.

        Raises:
            LedgerUnavailable: Redis can't be reached.
        """
        return self._scripts.write_problem()

    # ---- CircuitBreaker

    def breaker(self) -> BreakerState:
        """Return the state of the account's circuit breaker."""
        return _decode_breaker(self._scripts.run("breaker"))

    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Open the account's circuit breaker for all workers, at least for `seconds`."""
        args = milliseconds(seconds), truncate_error(reason), int(failed), call_id(), int(asked)
        return _decode_breaker(self._scripts.run("trip_breaker", *args))

    def reset_breaker(self, *, forget: bool = True) -> None:
        """Close the breaker; forget its failures, unless `forget` is false."""
        self._scripts.run("reset_breaker", int(forget))

    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Say when one more call to Connect may be sent, and reserve its place."""
        interval = microseconds_between(calls_per_second)
        open_for, reason, wait = self._scripts.run("acquire_call", interval, key="rate_limit")
        return RateLimitResult(open_for / 1000, reason, wait / 1_000_000)

    # ---- Locks

    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a named lock for a while; its owner asking again renews it."""
        return bool(self._scripts.run("lock", owner, expiry(seconds), key=f"lock:{name}"))

    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""
        self._scripts.run("unlock", owner, key=f"lock:{name}")

    # ---- ChangeHints

    def add_hint(
        self, hint: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Store the hint of a notification."""
        times = expiry(remember_seconds), milliseconds(requeue_seconds)
        args = str(hint), hint.kind, call_id(), *times
        result, name = self._scripts.run("add_hint", *args, key=f"notification:{digest}")
        return HintResult(result), ChangeHint.parse(name)

    def hint_mark(self, hint: ChangeHint) -> str:
        """Return the mark of the last notification that no worker has acknowledged."""
        mark: str = self._scripts.run("hint_mark", str(hint))
        return mark

    def acknowledge_hint(self, hint: ChangeHint, mark: str) -> bool:
        """Remove a hint, unless another notification has come since this mark."""
        return bool(self._scripts.run("acknowledge_hint", str(hint), mark))

    def defer_hint(self, hint: ChangeHint, *, seconds: float) -> None:
        """Have `stale_hints` return it after a while."""
        self._scripts.run("defer_hint", str(hint), milliseconds(seconds))

    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return the hints that no worker has acknowledged in time."""
        names = self._scripts.run("stale_hints", limit, milliseconds(requeue_seconds))
        return [hint for name in names if (hint := self._parse_hint(name))]

    def _parse_hint(self, name: str) -> ChangeHint | None:
        """Read the name of a hint; remove one that no receiver has stored."""
        try:
            return ChangeHint.parse(name)
        except ValueError:
            logger.warning(LogEvent("ledger.name_corrupt", name=name[:100]))
            self._scripts.run("acknowledge_hint", name, self._scripts.run("hint_mark", name))
            return None

    # ---- Counters

    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Store how a kind's poll ended."""
        with self._buffered_metrics() as metrics:
            self._scripts.run("record_poll", kind, encode_poll(poll), *metrics)

    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended."""
        stored = self._scripts.hash("polls")
        return dict(
            decode_fields(stored, lambda kind, text: (RequestKind(kind), decode_poll(text)))
        )

    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state, zeros included."""
        return sum_by_kind(self.counts_by_product(), words=State)

    def counts_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""
        return self._group("counts", State)

    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome, for every kind."""
        return sum_by_kind(self.outcomes_by_product())

    def outcomes_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[str, int]]:
        """Return the same by kind and product."""
        return self._group("outcomes", str)

    def _group(
        self, name: str, word: Callable[[str], W]
    ) -> dict[tuple[RequestKind, str], dict[W, int]]:
        """Read a hash of counters, and group them by kind and product; without zeros."""

        def decode(field: str, number: str) -> tuple[tuple[RequestKind, W, str], int]:
            kind, what, product = field.split(":", 2)
            return (RequestKind(kind), word(what), product), int(number)

        counted = decode_fields(self._scripts.hash(name), decode)
        return group_by_product((key, number) for key, number in counted if number)

    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the outcomes since midnight, UTC."""
        ended: dict[RequestKind, dict[str, int]] = {kind: {} for kind in RequestKind}
        today = milliseconds(self.now()) // DAY_MS

        def decode(name: str, number: str) -> tuple[RequestKind, str, int]:
            kind, _, outcome = name.partition(":")
            return RequestKind(kind), outcome, int(number)

        fields = self._scripts.hash(f"outcomes:{today}")
        for kind, outcome, number in decode_fields(fields, decode):
            ended[kind][outcome] = number
        return ended

    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return what was completed in the last hours, the current one included."""
        this = milliseconds(self.now()) // HOUR_MS
        numbers = range(this - hours + 1, this + 1)
        stored = self._scripts.hashes(f"completed:{number}" for number in numbers)
        return [
            HourlyCompletions(number * HOUR_MS / 1000, decode_durations(fields))
            for number, fields in zip(numbers, stored, strict=True)
        ]

    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the oldest unfinished cycle of each kind began."""
        began = {kind: self._scripts.lowest(f"unfinished:{kind}") for kind in RequestKind}
        return {kind: None if at is None else at / 1000 for kind, at in began.items()}

    def oldest_by_product(self) -> Mapping[tuple[RequestKind, str], float]:
        """Return when the oldest unfinished cycle of each kind and product began.

        The `MAX_OLDEST_CHECKED` oldest requests of a kind are checked. A product without a request
        among them gets the time of the last of these: its own requests are younger.
        """
        began: dict[tuple[RequestKind, str], float] = {}
        youngest: dict[RequestKind, float] = {}
        for kind in RequestKind:
            if reply := self._scripts.run("oldest", kind, MAX_OLDEST_CHECKED):
                *pairs, last = reply
                youngest[kind] = int(last) / 1000
                for product, at in zip(pairs[::2], pairs[1::2], strict=True):
                    began[kind, product] = int(at) / 1000
        if youngest:
            for kind, product in self._unfinished():
                if kind in youngest:
                    began.setdefault((kind, product), youngest[kind])
        return began

    def _unfinished(self) -> Iterator[tuple[RequestKind, str]]:
        """Yield the kinds and products of which a request is neither ended nor parked."""
        for name, states in self.counts_by_product().items():
            if any(
                number > 0
                for state, number in states.items()
                if not (state.is_final or state is State.PARKED)
            ):
                yield name

    def metrics(self) -> MetricCounts:
        """Return what was counted in addition to states and outcomes, since the start."""
        stored = self._scripts.hash("metrics")
        return dict(decode_fields(stored, lambda name, number: (Metric.parse(name), int(number))))

    def record_worker(self, name: str, load: WorkerLoad) -> None:
        """Store what a worker does now."""
        self._scripts.run("record_worker", name, expiry(WORKER_SECONDS), load.slots, load.busy)

    def workers(self) -> Mapping[str, WorkerLoad]:
        """Return what each worker does that has reported lately."""
        now = milliseconds(self.now())

        def load_of(name: str, text: str) -> tuple[str, WorkerLoad | None]:
            ends, slots, busy = map(int, text.split())
            return name, WorkerLoad(slots, busy) if ends > now else None

        loads = dict(decode_fields(self._scripts.hash("workers"), load_of))
        return {name: load for name, load in loads.items() if load is not None}

    @contextmanager
    def _buffered_metrics(self) -> Iterator[list[str | int]]:
        """Take what this process has counted; put it back when the ledger did not store it."""
        taken = self._metric_buffer.take()
        try:
            yield list(encode_metrics(taken))
        except BaseException:
            self._metric_buffer.give_back(taken)
            raise


def expiry(seconds: float) -> int:
    """Return milliseconds, at least one.

    An expiry of 0 would delete a record at once, and with it the answer to a repeated call.
    """
    return max(1, milliseconds(seconds))


def call_id() -> str:
    """Return a random name for one call, so that a script recognizes its repetition."""
    return uuid4().hex[:16]


def _decode_breaker(reply: tuple[int, int, int, str, int]) -> BreakerState:
    now, open_until, failures, reason, needs_probe = reply
    if open_until <= now and failures == 0:
        return BreakerState()
    return BreakerState(
        open_until=open_until / 1000,
        reason=reason,
        failures=failures,
        needs_probe=needs_probe == 1,
    )
