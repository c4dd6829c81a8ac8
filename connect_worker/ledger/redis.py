"""The ledger in Redis: each method is one Lua script, or one read.

`connect_worker.engine.ports` says what a method promises, and `lua/_prelude.lua` how it is stored.
Safe to share between threads, and over a fork.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelManagedConnection

from connect_worker.domain.metrics import MetricBuffer
from connect_worker.domain.states import (
    FINAL_STATES,
    JSON,
    NO_BACKLOG,
    NO_LIMITS,
    Backlog,
    Claim,
    ClaimDenied,
    DueBatch,
    Limits,
    Pause,
    PendingRequest,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)
from connect_worker.domain.steps import OWN, is_own
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.checks import require_usable
from connect_worker.ledger.codec import (
    decode_claim,
    decode_pause,
    decode_record,
    encode_backlog,
    encode_json,
    encode_limits,
    milliseconds,
    truncate_error,
)
from connect_worker.ledger.encryption import STEP_FIELD, cipher_for, read_values
from connect_worker.ledger.redis_account import RedisAccount, call_id, expiry
from connect_worker.ledger.scripts import Scripts, escape_pattern
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.urls import read_sentinels

T = TypeVar("T")

#: How many requests one script handles: Redis does nothing else for these few milliseconds.
BATCH = 500


#: A person or a probe waits for the reply, and can ask again: one attempt within this time.
OPERATOR_SECONDS = 3.0


def connect(
    url: str, *, timeout_seconds: float = 5.0, retries: int = 3, is_checked: bool = False
) -> redis.Redis:
    """Return a client as the ledger needs it; nothing is sent yet.

    A command whose reply was lost is sent again, by default up to 3 times within about a second,
    timeouts not counted; each script recognizes its repetition. When all these tries time out, the
    commands after it are tried once, until one is answered: what makes several calls, as a job that
    a stop waits for, soon knows that it can't. READONLY is repeated too, on a new connection: after
    a failover the name leads to the new primary, or Sentinels name it.
    `is_checked` refuses each new connection to a Redis that may lose cycles: `require_usable`.

    Raises:
        ValueError: The URL is not a Redis URL.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "health_check_interval": 30,
        # A record may have been damaged to bytes that are no text: they are shown, and stop no one.
        "encoding_errors": "backslashreplace",
        "retry": _SharedRetry(retries),
        "retry_on_error": [redis.ReadOnlyError],
        **({"redis_connect_func": require_usable} if is_checked else {}),
    }
    if sentinels := read_sentinels(url, timeout_seconds=timeout_seconds):
        options |= sentinels.primary
        has_tls = options.pop("ssl", False)
        options["connection_class"] = _TLSConnection if has_tls else _Connection
        manager: Any = _Sentinels(sentinels.hosts, sentinel_kwargs=sentinels.sentinel)  # type: ignore[no-untyped-call]  # redis-py has no types for it
        return cast("redis.Redis", manager.master_for(sentinels.master_name, **options))
    return redis.Redis.from_url(url, **options)


class _SharedRetry(Retry):
    """Repeats commands; all connections of a client share it.

    redis-py connects, and checks a connection, inside of a try of a command, with tries of their
    own: 4 tries would become up to 64. Here only the outermost ones are repeated.
    """

    def __init__(self, retries: int) -> None:
        super().__init__(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=retries)
        self._thread = threading.local()
        self._has_timed_out = False

    def __deepcopy__(self, memo: object) -> Self:
        # redis-py gives each connection a copy.
        return self

    def call_with_retry(self, do: Callable[[], T], *args: Any, **kwargs: Any) -> T:
        """Call a function, as often as this client may now."""
        is_nested = getattr(self._thread, "is_trying", False)
        once = is_nested or self._has_timed_out
        single = Retry(NoBackoff(), 0, self._supported_errors)
        call = single.call_with_retry if once else super().call_with_retry
        self._thread.is_trying = True
        try:
            result = call(do, *args, **kwargs)
        except redis.TimeoutError:
            self._has_timed_out = self._has_timed_out or not is_nested
            raise
        finally:
            self._thread.is_trying = is_nested
        if not is_nested and result is not None:
            # A command was answered. Connecting returns None, and may have had nothing to do.
            self._has_timed_out = False
        return result


class _Sentinels(Sentinel):
    """Asks one Sentinel after the other where the primary is.

    redis-py's own `discover_master` changes the order of its list in place, so that two threads at
    once may drop an entry, and its errors name no reason.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's address; the Sentinel that names it is asked first next time.

        Raises:
            MasterNotFoundError: No Sentinel names one.
        """
        reasons = []
        for sentinel in self.sentinels:
            try:
                primaries = cast("dict[str, dict[str, Any]]", sentinel.sentinel_masters())
            except redis.RedisError as error:
                reason = str(error)
            else:
                state = primaries.get(service_name)
                if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]  # redis-py has no types for it
                    others = [item for item in self.sentinels if item is not sentinel]
                    self.sentinels = [sentinel, *others]
                    return state["ip"], state["port"]
                known = ", ".join(map(repr, primaries))
                reason = "its primary is down" if state else f"knows {known}, no {service_name!r}"
            options = sentinel.get_connection_kwargs()
            reasons.append(f"{options['host']}:{options['port']} {reason}")
        raise MasterNotFoundError("; ".join(reasons))


class _Connection(SentinelManagedConnection):
    """A connection to the primary; redis-py repeats a command at the address it had before."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command, after a lost connection to the primary of now."""
        if self._sock is None:
            self.connect_to(self.connection_pool.get_master_address())  # type: ignore[no-untyped-call]  # redis-py has no types for it
        super().send_packed_command(command, check_health=check_health)  # type: ignore[no-untyped-call]  # redis-py has no types for it


class _TLSConnection(_Connection, redis.SSLConnection):
    """The same over TLS."""


class RedisLedger(RedisAccount):
    """Remembers every cycle of one account; the truth that all workers share.

    Args:
        client: From `connect`, or any client with `decode_responses=True`.
        account: Separates the accounts that share a Redis; a text without braces.
        prefix: What each key begins with; `Settings.key_prefix`.
        keys: Encrypt decisions, results of steps and errors; see `ledger/encryption.py`.
        metric_buffer: What this process counts; it is stored with the end of a job or a poll.
        clock: As `Scripts` takes it.

    Raises:
        SettingsError: A key can't be used.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        account: str,
        prefix: str = "",
        keys: Sequence[str] = (),
        metric_buffer: MetricBuffer | None = None,
        clock: str | None = None,
    ) -> None:
        scripts = Scripts(client, account=account, prefix=prefix, clock=clock)
        super().__init__(scripts, metric_buffer=metric_buffer)
        self._cipher = cipher_for(keys, account=account)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        account: str,
        prefix: str = "",
        keys: Sequence[str] = (),
        metric_buffer: MetricBuffer | None = None,
        timeout_seconds: float = 5.0,
        retries: int = 3,
        is_checked: bool = False,
    ) -> Self:
        """Return a ledger with a client of its own; nothing is sent yet."""
        client = connect(
            url, timeout_seconds=timeout_seconds, retries=retries, is_checked=is_checked
        )
        return cls(client, account=account, prefix=prefix, keys=keys, metric_buffer=metric_buffer)

    # ---- RequestRecords

    def register(
        self, pending: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Register pending requests; return those that need a message.

        After a crash between two batches the next poll registers the rest.
        """
        times = milliseconds(seen_at), milliseconds(requeue_seconds)
        begun: list[RequestKey] = []
        for batch in _batches(pending):
            rows = [[str(item.ref), item.cycle or "", item.product] for item in batch]
            positions = self._scripts.run("register", *times, encode_json(rows))
            begun += [batch[position].ref for position in positions]
        return begun

    def claim(
        self, ref: RequestKey, *, owner: str, lease_seconds: float, limits: Limits = NO_LIMITS
    ) -> Claim | ClaimDenied:
        """Take the request for one run, in one round trip."""
        lease, flat_limits = milliseconds(lease_seconds), encode_limits(limits)
        verdict, *reply = self._scripts.run("claim", str(ref), owner, lease, *flat_limits)
        if verdict != "ok":
            return ClaimDenied(verdict)
        has_failures, pairs = reply
        return decode_claim(
            ref,
            dict(zip(pairs[::2], pairs[1::2], strict=True)),
            cipher=self._cipher,
            lease_seconds=lease_seconds,
            is_half_open_probe=has_failures == 1,
        )

    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease; False when the claim is no longer the current one."""
        return self._run_with_claim("renew_lease", claim, milliseconds(claim.lease_seconds)) == "ok"

    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle."""
        if decision is None:
            raise ValueError("null is not a decision: it would look like no decision")
        text = encode_json(decision)
        stored = self._cipher.encrypt(text, *_place(claim, "d"))
        verdict = self._run_with_claim("decide", claim, stored)
        if verdict == "other" and not self._has_decided(claim.ref, text):
            raise LeaseLost(f"{claim.ref}: another decision is stored for cycle {claim.cycle}")
        _require_lease("ok" if verdict == "other" else verdict, claim)

    def _has_decided(self, ref: RequestKey, text: str) -> bool:
        """Compare decisions whose encrypted texts always differ."""
        record = self.get_record(ref)
        if record is None or record.decrypt_error or record.corrupt:
            return False
        return encode_json(record.decision) == text

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Record one step in the journal; a step's first result stays."""
        place = _place(claim, f"{STEP_FIELD}{step}")
        text, with_time = self._cipher.encrypt(encode_json(result), *place), int(is_own(step))
        _require_lease(self._run_with_claim("record_step", claim, step, text, with_time), claim)

    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float, error: str = "") -> None:
        """End the cycle as `completed`."""
        text = self._encode_error(claim, error)
        self._release("complete", claim, outcome, expiry(keep_seconds), text)

    def supersede(self, claim: Claim, status: str, *, keep_seconds: float) -> None:
        """End the cycle as `superseded`."""
        self._release("supersede", claim, status, expiry(keep_seconds))

    def reschedule(
        self,
        claim: Claim,
        state: State,
        *,
        delay_seconds: float,
        error: str = "",
        attempt_used: bool = True,
        cause: str = "",
        not_yet: bool = False,
    ) -> None:
        """Release the claim; the request is due again after the delay."""
        if state not in (State.RETRY, State.SNOOZED, State.DECIDED):
            raise ValueError(f"a claim is rescheduled as retry, snoozed or decided, not as {state}")
        delay, text = milliseconds(delay_seconds), self._encode_error(claim, error)
        flags = int(attempt_used), cause, int(not_yet)
        verdict = self._release("reschedule", claim, state, delay, text, *flags)
        if verdict == "undecided":
            raise ValueError(f"{claim.ref} has no decision: it can't be rescheduled as decided")

    def park(self, claim: Claim, error: str) -> None:
        """Release the claim and stop the request for an operator."""
        self._release("park", claim, self._encode_error(claim, error))

    def _encode_error(self, claim: Claim, error: str) -> str:
        return self._cipher.encrypt(truncate_error(error), *_place(claim, "e")) if error else ""

    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
        rescue_seconds: tuple[float, float] = (0.0, 0.0),
    ) -> DueBatch:
        """Find what is due; in batches, so that Redis serves others in between."""
        settings: tuple[str | int, ...] = (
            milliseconds(requeue_seconds),
            max_attempts,
            encode_backlog(backlogged),
            *map(milliseconds, rescue_seconds),
        )
        publish: list[RequestKey] = []
        expired: list[RequestKey] = []
        parked: list[RequestKey] = []
        corrupt: list[RequestKey] = []
        total = 0
        while total < limit:
            size = min(limit - total, BATCH)
            checked, *lists = self._scripts.run("take_due", size, *settings)
            for refs, texts in zip((publish, expired, parked, corrupt), lists, strict=True):
                refs += _parse(texts)
            total += checked
            if checked < size:
                break
        return DueBatch(publish, expired, parked, corrupt, total)

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Take as many requests from each slot queue as its limit has free slots."""
        refs = self._scripts.run("take_from_slot_queue", milliseconds(requeue_seconds), limit)
        return list(_parse(refs))

    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that no worker holds: the request was seen with another status."""
        times = milliseconds(seen_at), expiry(keep_seconds)
        return self._change("mark_decided_elsewhere", str(ref), status, *times, call_id())

    # ---- OperatorActions

    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle."""
        values = read_values(ref, self._scripts.hash(f"request:{ref}"), self._cipher)
        forget = OWN if forget_steps else ""
        return self._change("rerun", str(ref), call_id(), forget, *values.faults)

    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""
        return self._change("repost", str(ref), call_id())

    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded."""
        return self._change("discard", str(ref), expiry(keep_seconds), call_id())

    def pause(self, name: str, *, reason: str = "") -> None:
        """Pause processors: `all`, those of a kind, or those of a product."""
        self._scripts.run("pause", name, truncate_error(reason))

    def resume(self, name: str) -> int:
        """End a pause; in batches, so that Redis serves others in between."""
        total, resumed = 0, BATCH
        while resumed == BATCH:
            resumed = self._scripts.run("resume", name, BATCH)
            total += resumed
        return total

    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""
        return {
            name: decode_pause(text, requests=self._scripts.size(f"paused_requests:{name}"))
            for name, text in self._scripts.hash("paused").items()
        }

    # ---- RecordReader

    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request, in one round trip."""
        products: list[str] = []
        for batch in _batches(refs):
            products += self._scripts.values((f"request:{ref}" for ref in batch), "p")
        return products

    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""
        fields = self._scripts.hash(f"request:{ref}")
        return self._decode(ref, fields) if fields else None

    def _decode(self, ref: RequestKey, stored: Mapping[str, str]) -> RequestRecord:
        return decode_record(ref, stored, cipher=self._cipher)

    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records that match, read in pages."""
        known: set[str] = set()
        for page in self._scan(kind, frozenset(states), prefix):
            names = [str(ref) for ref in _parse(dict.fromkeys(page)) if str(ref) not in known]
            known.update(names)
            for batch in _batches(names):
                records = self._scripts.hashes(f"request:{name}" for name in batch)
                for ref, fields in zip(_parse(batch), records, strict=True):
                    # The record of a cycle that ended during the scan may have expired.
                    if not fields or kind not in (None, ref.kind) or not ref.id.startswith(prefix):
                        continue
                    record = self._decode(ref, fields)
                    if not states or record.state in states:
                        yield record

    def _scan(
        self, kind: RequestKind | None, states: frozenset[State], prefix: str
    ) -> Iterator[list[str]]:
        """Yield the names of all that may match; sorted sets name the unfinished requests."""
        if not states or states & FINAL_STATES:
            pattern = f"{kind or '*'}:{escape_pattern(prefix)}*"
            yield from self._scripts.scan_names("request:", pattern)
            return
        if State.PARKED in states:
            yield from self._scripts.scan_members("parked")
        if states - {State.PARKED}:
            for item in [kind] if kind else RequestKind:
                yield from self._scripts.scan_members(f"unfinished:{item}")

    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""
        refs = _parse(self._scripts.members("parked"))
        return [ref for ref in refs if kind in (None, ref.kind)]

    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, in batches; without those that are not there."""
        records = []
        for batch in _batches(refs):
            fields = self._scripts.hashes(f"request:{ref}" for ref in batch)
            records += [
                self._decode(ref, item) for ref, item in zip(batch, fields, strict=True) if item
            ]
        return records

    def _change(self, name: str, *args: str | int) -> bool:
        return bool(self._scripts.run(name, *args))

    def _release(self, name: str, claim: Claim, *args: str | int) -> str:
        """Run a script that releases a claim; it stores what this process has counted, too."""
        with self._buffered_metrics() as metrics:
            verdict = self._run_with_claim(name, claim, *args, *metrics)
            _require_lease(verdict, claim)
        return verdict

    def _run_with_claim(self, name: str, claim: Claim, *args: str | int) -> str:
        verdict: str = self._scripts.run(name, str(claim.ref), claim.fence, claim.owner, *args)
        return verdict


def _require_lease(verdict: str, claim: Claim) -> None:
    if verdict == "lost":
        raise LeaseLost(
            f"{claim.ref}: the claim with fence {claim.fence} is no longer the current one"
        )


def _place(claim: Claim, field: str) -> tuple[str, str, str]:
    """Return to what an encrypted value of the claim's cycle is bound."""
    return str(claim.ref), claim.cycle, field


def _parse(names: Iterable[str]) -> Iterator[RequestKey]:
    """Read the names of requests; what names none was not stored by a worker."""
    for name in names:
        try:
            yield RequestKey.parse(name)
        except ValueError:
            logger.warning(LogEvent("ledger.name_corrupt", name=name[:100]))


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
