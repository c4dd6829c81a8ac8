"""The Lua scripts, and the one place where the Redis client's loose types become firm ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, cast

import redis
from redis import exceptions as redis_errors
from redis.sentinel import MasterNotFoundError

from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.codec import NOT_A_HASH, SHARED_CONSTANTS
from connect_worker.settings.urls import CERTIFICATE_REMEDY

# ---- errors: what an error of Redis means for the operator, and the remedy

_FULL = "Redis is full and nothing was written: raise maxmemory, or free memory"
_REPLICA = "this Redis is a read-only replica: point the Redis URL at the primary"
_LOADING = "Redis is loading its data after a start: wait, it answers when it is done"
_FORBIDDEN = (
    "the Redis user may not do this: give it the rules that `connect-worker redis-acl` prints"
)
_REFUSED = "Redis refused the user or password: check the Redis URL"
_SLOW = "Redis did not answer in time: check its load, and the network to it"
_UNREACHABLE = "Redis can't be reached: check that it runs, and the host and port of its URL"
_NO_PRIMARY = (
    "no Sentinel names a primary that answers it: check that the Sentinels run, their hosts and "
    "the master_name in the Redis URL, and CONNECT_SENTINEL_PASSWORD"
)
CLUSTER = (
    "this Redis is a node of a Redis Cluster: use a Redis without cluster mode; for a failover, "
    "one with Sentinels"
)
_WRONG_TYPE = "a key of the ledger has a wrong type: find out what wrote it, and delete it"
_OTHER = "Redis refused the command: check that it is 6.2 or later, and its log"

# A subclass comes before its base.
_BY_CLASS: tuple[tuple[type[redis_errors.RedisError], str], ...] = (
    (redis_errors.OutOfMemoryError, _FULL),
    (redis_errors.ReadOnlyError, _REPLICA),
    (redis_errors.BusyLoadingError, _LOADING),
    (redis_errors.NoPermissionError, _FORBIDDEN),
    (MasterNotFoundError, _NO_PRIMARY),
    (redis_errors.AuthenticationError, _REFUSED),
    (redis_errors.AuthorizationError, _REFUSED),
    (redis_errors.TimeoutError, _SLOW),
    (redis_errors.ConnectionError, _UNREACHABLE),
)

# Codes for which the client has no class, and codes of an error inside a script, which some
# servers wrap into a longer text.
_BY_CODE = (
    ("OOM", _FULL),
    ("READONLY", _REPLICA),
    ("MISCONF", "Redis can't save to its disk and stopped writing: check its disk and its log"),
    ("NOREPLICAS", "Redis has too few replicas to accept writes: check its replication"),
    ("MASTERDOWN", "this Redis is a replica that lost its primary: check its replication"),
    ("CLUSTERDOWN", CLUSTER),
    ("MOVED", CLUSTER),
    ("CROSSSLOT", CLUSTER),
    ("WRONGTYPE", _WRONG_TYPE),
    ("NOPERM", _FORBIDDEN),
    ("BUSY", "another script blocks Redis: look for it with SLOWLOG GET"),
)


class UnusableRedisError(redis.ResponseError):
    """A Redis that may lose what a ledger stores; the text has the remedy."""


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Turn every error of the Redis client into `LedgerUnavailable`, which names the remedy."""
    try:
        yield
    except redis_errors.RedisError as exc:
        text = remedy(exc)
        raise LedgerUnavailable(text if text == str(exc) else f"{text} ({exc})") from exc


def _is_wrong_type(error: redis_errors.RedisError) -> bool:
    return "WRONGTYPE" in str(error)


def remedy(error: redis_errors.RedisError) -> str:
    """Say in one sentence what is wrong and what to do."""
    if isinstance(error, UnusableRedisError):
        return str(error)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"Redis's certificate is not trusted: {CERTIFICATE_REMEDY}"
    for error_class, sentence in _BY_CLASS:
        if isinstance(error, error_class):
            return sentence
    words = str(error).replace(":", " ").replace("-", " ").split()
    return next((sentence for code, sentence in _BY_CODE if code in words), _OTHER)


NAMES = (
    "register",
    "claim",
    "renew_lease",
    "decide",
    "record_step",
    "complete",
    "supersede",
    "reschedule",
    "park",
    "take_due",
    "mark_decided_elsewhere",
    "rerun",
    "repost",
    "discard",
    "breaker",
    "trip_breaker",
    "reset_breaker",
    "acquire_call",
    "take_from_slot_queue",
    "lock",
    "unlock",
    "now",
    "record_poll",
    "record_worker",
    "pause",
    "resume",
    "oldest",
    "add_hint",
    "hint_mark",
    "acknowledge_hint",
    "defer_hint",
    "stale_hints",
)

#: How many members or keys Redis checks in one step of a scan.
PAGE = 1000


def escape_pattern(text: str) -> str:
    """Return a pattern of Redis that matches this text alone."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


@cache
def read_lua(name: str) -> str:
    """Return the text of one file in `lua/`."""
    return (files("connect_worker.ledger") / "lua" / f"{name}.lua").read_text("utf-8")


def source(name: str, *, clock: str | None = None) -> str:
    """Return one script whole: the clock, what all scripts share, and its own text.

    The constants of `codec.SHARED_CONSTANTS` take the place of their names. To define them before
    the script would cost time: Redis runs a script from its first line at every call.
    """
    parts = (clock or read_lua("_clock"), read_lua("_prelude"), read_lua(name))
    return "\n".join(map(_with_constants, parts))


@cache
def _with_constants(text: str) -> str:
    return re.sub("|".join(rf"\b{name}\b" for name in SHARED_CONSTANTS), _literal, text)


def _literal(name: re.Match[str]) -> str:
    value = SHARED_CONSTANTS[name[0]]
    if isinstance(value, frozenset):
        return f"{{ {', '.join(f'{state} = true' for state in sorted(value))} }}"
    if isinstance(value, tuple):
        return f"{{ {', '.join(map(str, value))} }}"
    return f"'{value}'" if isinstance(value, str) else str(value)


class Scripts:
    """One account's keys in one Redis, and the scripts that change them.

    Args:
        client: With `decode_responses=True`.
        account: A text without braces.
        prefix: What each key begins with; `Settings.key_prefix`.
        clock: Lua that sets `exact`, in microseconds, for a test that steps it; by default the
            server's `TIME`. Ended records expire by the server's own clock in
            any case (`PEXPIRE`).

    Raises:
        ValueError: The account can't be a cluster hash tag, or the client answers bytes.
        LedgerUnavailable: From every method, when Redis can't be reached or refuses.
    """

    def __init__(
        self, client: redis.Redis, *, account: str, prefix: str = "", clock: str | None = None
    ) -> None:
        if not account or "{" in account or "}" in account:
            raise ValueError(f"an account is a text without braces, not {account!r}")
        if not client.get_encoder().decode_responses:
            raise ValueError("the ledger's Redis client needs decode_responses=True")
        self._client = client
        self._prefix = f"{prefix}connect-worker:{{{account}}}:"
        self._keys = [self.key(name) for name in ("due", "parked", "counts", "outcomes", "breaker")]
        self._scripts = {name: client.register_script(source(name, clock=clock)) for name in NAMES}

    def key(self, name: str) -> str:
        """Return a key's full name."""
        return self._prefix + name

    def run(self, name: str, *args: str | int, key: str = "") -> Any:
        """Run a script, with one more key where it needs it.

        A server that forgot the script (restart, failover) gets it again.
        """
        keys = [*self._keys, self.key(key)] if key else self._keys
        values = [self.key("request:"), *args]
        with translate_redis_errors():
            try:
                return self._scripts[name](keys=keys, args=values)
            except redis_errors.NoScriptError:
                # redis-py gave it to the old primary, and the new one was to run it.
                return self._scripts[name](keys=keys, args=values)
            except redis_errors.ResponseError as error:
                if "-READONLY" not in str(error):
                    raise
                # Redis 6.2 puts another error around a script's own, so that redis-py keeps the
                # connection to a server that is no primary any more.
                self._client.connection_pool.disconnect(inuse_connections=False)
                return self._scripts[name](keys=keys, args=values)

    def write_problem(self) -> str:
        """Return why Redis refuses writes, and the remedy; "" when it takes them."""
        try:
            with translate_redis_errors():
                # A write that Redis accepts or refuses like any other, and that changes nothing:
                # the key does not exist.
                self._client.set(self.key("never_written"), "", xx=True)
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, redis_errors.ResponseError):
                return str(error)
            raise
        return ""

    def hash(self, name: str) -> Mapping[str, str]:
        """Return a hash; empty when there is none, and `NOT_A_HASH` for a key of another type."""
        return self.hashes([name])[0]

    def hashes(self, names: Iterable[str]) -> list[Mapping[str, str]]:
        """Return several hashes in one round trip.

        They are empty where there are none, and `NOT_A_HASH` where a key has another type.
        """
        found = self._read(names, lambda pipeline, key: pipeline.hgetall(key))
        return [NOT_A_HASH if item is None else item for item in found]

    def values(self, names: Iterable[str], field: str) -> list[str]:
        """Return one field of several hashes in one round trip; "" where there is none."""
        found = self._read(names, lambda pipeline, key: pipeline.hget(key, field))
        return [value or "" for value in found]

    def _read(self, names: Iterable[str], add: Callable[[Any, str], object]) -> list[Any]:
        """Read several keys in one round trip; None for a key of another type."""
        with translate_redis_errors(), self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                add(pipeline, self.key(name))
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, redis_errors.RedisError) and not _is_wrong_type(reply):
                    raise reply
        return [None if isinstance(reply, redis_errors.RedisError) else reply for reply in replies]

    def members(self, name: str) -> list[str]:
        """Return a sorted set's members, lowest score first."""
        with translate_redis_errors():
            return cast("list[str]", self._client.zrange(self.key(name), 0, -1))

    def lowest(self, name: str) -> float | None:
        """Return a sorted set's lowest score; None when it is empty."""
        with translate_redis_errors():
            lowest = self._client.zrange(self.key(name), 0, 0, withscores=True)
        return cast("list[tuple[str, float]]", lowest)[0][1] if lowest else None

    def size(self, name: str) -> int:
        """Return how many members a sorted set has."""
        with translate_redis_errors():
            return self._client.zcard(self.key(name))

    def scan_members(self, name: str) -> Iterator[list[str]]:
        """Yield a sorted set's members in pages; a member may come twice."""
        cursor = -1
        while cursor:
            with translate_redis_errors():
                cursor, page = self._client.zscan(self.key(name), max(cursor, 0), count=PAGE)
            yield [member for member, _ in cast("list[tuple[str, float]]", page)]

    def scan_names(self, start: str, pattern: str) -> Iterator[list[str]]:
        """Yield, in pages, what follows `start` in the keys that match; a key may come twice.

        The whole database is scanned, in steps that do not block other clients.
        """
        prefix, cursor = self.key(start), -1
        while cursor:
            with translate_redis_errors():
                cursor, page = self._client.scan(
                    max(cursor, 0), match=escape_pattern(prefix) + pattern, count=PAGE
                )
            yield [name.removeprefix(prefix) for name in cast("list[str]", page)]
