"""The Lua scripts, and the one place where the client's loose types become firm ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import redis

from connect_worker.ledger.unavailable import translated

# fmt: off
NAMES = (
    "sight", "claim", "extend", "decide", "record", "settle", "supersede", "put_back", "park",
    "wake", "leave", "rerun", "repost", "discard",
    "gate", "close_gate", "open_gate", "take_turn", "next_in_line", "hold", "release", "now",
)
# fmt: on


@cache
def text(name: str) -> str:
    """Return the text of one file in `lua/`."""
    return (files("connect_worker.ledger") / "lua" / f"{name}.lua").read_text("utf-8")


def source(name: str, *, clock: str | None = None) -> str:
    """Return one script whole: the clock, what all of them share, and its own text."""
    return "\n".join((clock or text("_clock"), text("_prelude"), text(name)))


class Scripts:
    """One account's keys in one Redis, and the scripts that change them.

    Args:
        client: With `decode_responses=True`.
        account: A text without braces.
        clock: Lua that sets `now`, for a test that steps it; by default the server's `TIME`. How
            long an ended record is kept is the server's own business all the same (`PEXPIRE`).

    Raises:
        ValueError: The account can't be a cluster hash tag, or the client answers bytes.
        LedgerUnavailable: From every method, when Redis can't be reached or refuses.
    """

    def __init__(self, client: redis.Redis, *, account: str, clock: str | None = None) -> None:
        if not account or "{" in account or "}" in account:
            raise ValueError(f"an account is a text without braces, not {account!r}")
        if not client.get_encoder().decode_responses:
            raise ValueError("the ledger's Redis client needs decode_responses=True")
        self._client = client
        self._prefix = f"connect-worker:{{{account}}}:"
        self._keys = [self.key(name) for name in ("due", "parked", "counts", "outcomes", "gate")]
        self._scripts = {name: client.register_script(source(name, clock=clock)) for name in NAMES}

    def key(self, name: str) -> str:
        """Return a key's full name."""
        return self._prefix + name

    def run(self, name: str, *args: str | int, key: str = "") -> Any:
        """Run a script, with one more key where it needs it.

        A server that forgot the script (restart, failover) is given it anew.
        """
        keys = [*self._keys, self.key(key)] if key else self._keys
        with translated():
            return self._scripts[name](keys=keys, args=[self.key("request:"), *args])

    def hash(self, name: str) -> Mapping[str, str]:
        """Return a hash; empty when there is none."""
        with translated():
            return cast("dict[str, str]", self._client.hgetall(self.key(name)))

    def members(self, name: str) -> list[str]:
        """Return a sorted set's members, lowest score first."""
        with translated():
            return cast("list[str]", self._client.zrange(self.key(name), 0, -1))
