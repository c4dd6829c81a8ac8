"""What Python and the Lua scripts agree on: constants, encoding and encryption.

`lua/_prelude.lua` names the fields of a record. With a key, decisions, results of steps and errors
are encrypted with Fernet (AES-128-CBC with an HMAC-SHA256), of the package `cryptography`: these
values may come from customers or from a vendor's system. Encryption keeps them secret from a person
who can read Redis. A person who can write to Redis can change what is posted in any case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

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
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    StateChange,
)
from connect_worker.exceptions import DecryptionKeyMissing, SettingsError

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
#: How many change hints are kept for single requests; beyond that, only for kinds.
MAX_HINTS: Final = 1000

#: The constants of the Lua scripts, by their names there.
SHARED_CONSTANTS: Final[Mapping[str, int | str | tuple[int, ...] | frozenset[State]]] = {
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
    "MAX_HINTS": MAX_HINTS,
    "MAX_PRODUCTS": MAX_PRODUCTS,
    "DURATION_BOUNDS_MS": BOUNDS_MS,
    "ALL": ALL,
    "MORE": MORE,
    "OTHER": OTHER,
    "ATTEMPTS": ATTEMPTS,
    "RETRIES": RETRIES,
    "WORKER_DIED": WORKER_DIED,
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

#: Put before the name of a step, so that steps can't collide with the other fields.
STEP_FIELD: Final = "j:"
#: And for the time at which a step was done.
STEP_TIME_FIELD: Final = "i:"


def decode_claim(
    ref: RequestKey,
    stored: Mapping[str, str],
    *,
    cipher: Cipher,
    lease_seconds: float,
    is_half_open_probe: bool,
) -> Claim:
    """Read the claim that a script has just given."""
    fields, decrypt_error = _decrypt_fields(stored, cipher)
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
        is_half_open_probe=is_half_open_probe,
        limit=fields.get("l", ""),
        decrypt_error=decrypt_error,
        metric_product=OTHER if "m" in fields else fields.get("p", ""),
        snoozed_since=int(fields.get("z", 0)) / 1000,
    )


def decode_record(ref: RequestKey, stored: Mapping[str, str], *, cipher: Cipher) -> RequestRecord:
    """Read a whole record."""
    fields, decrypt_error = _decrypt_fields(stored, cipher)
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
        decrypt_error=decrypt_error,
    )


def decode_poll(text: str) -> PollReport:
    """Read how a poll ended, with the time before it."""
    at, _, report = text.partition(" ")
    fields = json.loads(report)
    problem = PollProblem(fields.pop("problem"))
    return PollReport(at=int(at) / 1000, problem=problem, **fields)


def decode_durations(fields: Mapping[str, str]) -> dict[RequestKind, Durations]:
    """Read how long the cycles of one hour took; every kind is there."""
    counts: dict[RequestKind, dict[float, int]] = {kind: {} for kind in RequestKind}
    for name, number in fields.items():
        kind, _, bound = name.partition(":")
        counts[RequestKind(kind)][math.inf if bound == MORE else int(bound) / 1000] = int(number)
    return {kind: Durations(by_bound) for kind, by_bound in counts.items()}


def worker_name(owner: str) -> str:
    """Return an owner without the random part that distinguishes the claims of one worker."""
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
        name.removeprefix(STEP_FIELD): json.loads(result)
        for name, result in fields.items()
        if name.startswith(STEP_FIELD)
    }


def _step_times(fields: Mapping[str, str]) -> dict[str, float]:
    began = int(fields["b"])
    return {
        name.removeprefix(STEP_TIME_FIELD): (began + int(since)) / 1000
        for name, since in fields.items()
        if name.startswith(STEP_TIME_FIELD)
    }


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


# ---- encryption

#: An encrypted value begins with this; no JSON text does.
ENCRYPTED_PREFIX: Final = "fernet:"
#: Shown in place of a value that can't be decrypted here.
HIDDEN: Final = "encrypted"


class Cipher(Protocol):
    """Encrypts values before they are stored, and decrypts stored ones."""

    def encrypt(self, text: str) -> str:
        """Return what is stored for a text."""

    def decrypt(self, stored: str) -> str:
        """Return the text of a stored value.

        Raises:
            DecryptionKeyMissing: It is encrypted with a key that is not here.
        """


class NullCipher:
    """Without a key: values are stored as they are."""

    def encrypt(self, text: str) -> str:
        """Return the text."""
        return text

    def decrypt(self, stored: str) -> str:
        """Return the text; refuse a value that another process encrypted."""
        if stored.startswith(ENCRYPTED_PREFIX):
            raise DecryptionKeyMissing(
                "it is encrypted, and CONNECT_ENCRYPTION_KEY is not set here"
            )
        return stored


class FernetCipher:
    """With keys: the first one encrypts, each of them decrypts; plain values are read as they are.

    Raises:
        SettingsError: A key is invalid, or the package is not installed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        except ImportError:
            raise SettingsError(
                "CONNECT_ENCRYPTION_KEY needs another package: pip install cryptography",
                setting="CONNECT_ENCRYPTION_KEY",
            ) from None
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._invalid_token = InvalidToken

    def encrypt(self, text: str) -> str:
        """Return the text encrypted with the first key."""
        return ENCRYPTED_PREFIX + self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """Return the text, decrypted with the key that fits; a plain value as it is."""
        if not stored.startswith(ENCRYPTED_PREFIX):
            return stored
        try:
            return self._fernet.decrypt(stored.removeprefix(ENCRYPTED_PREFIX)).decode()
        except self._invalid_token:
            raise DecryptionKeyMissing(
                "it is encrypted, and no key in CONNECT_ENCRYPTION_KEY opens it"
            ) from None


def cipher_for(keys: Sequence[str]) -> Cipher:
    """Return the cipher of a process with these keys."""
    return FernetCipher(keys) if keys else NullCipher()


def _decrypt_fields(fields: Mapping[str, str], cipher: Cipher) -> tuple[Mapping[str, str], str]:
    """Decrypt the fields of a record; return them, and why some can't be read ("" when all can)."""
    encrypted = [
        name
        for name, value in fields.items()
        if value.startswith(ENCRYPTED_PREFIX) and _is_secret(name)
    ]
    if not encrypted:
        return fields, ""
    clear, problem = dict(fields), ""
    for name in encrypted:
        try:
            clear[name] = cipher.decrypt(fields[name])
        except DecryptionKeyMissing as error:
            # Decisions and results are JSON, an error is a text.
            clear[name] = HIDDEN if name == "e" else f'"{HIDDEN}"'
            problem = str(error)
    return clear, problem


def _is_secret(name: str) -> bool:
    return name in ("d", "e") or name.startswith(STEP_FIELD)
