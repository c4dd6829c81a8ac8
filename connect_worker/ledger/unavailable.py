"""What a Redis error means for the people who run the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as redis_errors

from connect_worker.exceptions import LedgerUnavailable

_FULL = "Redis is full and nothing was written: raise maxmemory, or free memory"
_REPLICA = "this Redis is a read-only replica: point the Redis URL at the primary"
_LOADING = "Redis is loading its data after a start: wait, it answers when it is done"
_FORBIDDEN = "the Redis user may not do this: allow it scripts and the keys connect-worker:*"
_REFUSED = "Redis refused the user or password: check the Redis URL"
_SLOW = "Redis did not answer in time: check its load, and the network to it"
_UNREACHABLE = "Redis can't be reached: check that it runs, and the host and port of its URL"
_OTHER = "Redis refused the command: check that it is 6.2 or later, and its log"

# The subclass comes before its base.
_BY_CLASS: tuple[tuple[type[redis_errors.RedisError], str], ...] = (
    (redis_errors.OutOfMemoryError, _FULL),
    (redis_errors.ReadOnlyError, _REPLICA),
    (redis_errors.BusyLoadingError, _LOADING),
    (redis_errors.NoPermissionError, _FORBIDDEN),
    (redis_errors.AuthenticationError, _REFUSED),
    (redis_errors.AuthorizationError, _REFUSED),
    (redis_errors.TimeoutError, _SLOW),
    (redis_errors.ConnectionError, _UNREACHABLE),
)

# Codes that the client has no class for, and those of an error inside a script, which some
# servers wrap into a longer text.
_BY_CODE = (
    ("OOM", _FULL),
    ("READONLY", _REPLICA),
    ("MISCONF", "Redis can't save to its disk and stopped writing: check its disk and its log"),
    ("NOREPLICAS", "Redis has too few replicas to accept writes: check its replication"),
    ("MASTERDOWN", "this Redis is a replica that lost its primary: check its replication"),
    ("CLUSTERDOWN", "the Redis cluster is down: check CLUSTER INFO"),
    ("MOVED", "this Redis is one node of a cluster: use the node that holds the account's slot"),
    ("NOPERM", _FORBIDDEN),
    ("BUSY", "another script blocks Redis: look for it with SLOWLOG GET"),
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn every error of the Redis client into `LedgerUnavailable`, which names the remedy."""
    try:
        yield
    except redis_errors.RedisError as exc:
        raise LedgerUnavailable(f"{remedy(exc)} ({exc})") from exc


def remedy(error: redis_errors.RedisError) -> str:
    """Say in one sentence what is the matter and what to do."""
    for error_class, sentence in _BY_CLASS:
        if isinstance(error, error_class):
            return sentence
    words = str(error).replace(":", " ").replace("-", " ").split()
    return next((sentence for code, sentence in _BY_CODE if code in words), _OTHER)
