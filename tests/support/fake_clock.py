"""The scripts under a clock that a test steps, over a network that loses replies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connect_worker.domain.states import RequestKey, State
from connect_worker.ledger.codec import milliseconds
from connect_worker.ledger.redis import RedisLedger, connect

from .ledger_factories import assert_consistent
from .lossy_relay import LossyRelay, lossy_relay

CLOCK_KEY = "stepped-clock"
CLOCK = f"local exact = tonumber(redis.call('GET', '{CLOCK_KEY}')) * 1000"


class SteppedRedis:
    """A ledger of its own in a Redis, the clock that it reads, and the way to it.

    Only Redis's expiry goes by Redis's own clock. So it is taken off a record as soon as a script
    has set it, and the record is deleted when the stepped clock gets there.
    """

    def __init__(self, server: redis.Redis, relay: LossyRelay) -> None:
        self._server = server
        self._relay = relay
        self._far = connect(f"unix://{relay.server_address!s}")
        self._far.set_retry(Retry(NoBackoff(), retries=3))
        self._now = 0
        self._forgotten_at: dict[RequestKey, int] = {}
        self.renew()

    def renew(self) -> RedisLedger:
        """Return an empty ledger."""
        self.account = uuid4().hex
        self._forgotten_at.clear()
        self.ledger = RedisLedger(self._far, account=self.account, clock=CLOCK)
        return self.ledger

    def close(self) -> None:
        self._far.close()

    def set_clock(self, seconds: float) -> None:
        """Step the clock, forward or back, and forget whose time is over."""
        self._now = milliseconds(seconds)
        self._server.set(CLOCK_KEY, self._now)
        for ref, moment in list(self._forgotten_at.items()):
            if moment <= self._now:
                self._server.delete(self._key(ref))
                del self._forgotten_at[ref]

    def take_over_expiry(self, refs: tuple[RequestKey, ...]) -> None:
        """Read when the scripts just called want their records forgotten, and see to it."""
        with self._server.pipeline(transaction=False) as pipeline:
            for ref in refs:
                pipeline.hmget(self._key(ref), "s", "k")
                pipeline.pttl(self._key(ref))
            found = pipeline.execute()
        for ref, (state, keep), left in zip(refs, found[::2], found[1::2], strict=True):
            if state is None or not State(state).is_final:
                self._forgotten_at.pop(ref, None)
                assert left < 0, f"{ref} is {state} and expires"
            elif left >= 0:
                self._forgotten_at[ref] = self._now + int(keep)
                self._server.persist(self._key(ref))
            else:
                assert ref in self._forgotten_at, f"{ref} is {state} and never expires"

    def lose_next_reply(self) -> None:
        """Carry out the next command and lose its reply: the client sends it again."""
        self._relay.lose = 1

    def assert_reply_was_lost(self) -> None:
        assert self._relay.lose == 0

    def assert_consistent(self) -> None:
        """Compare counts, due and parked with every record there is."""
        assert_consistent(self._server, self.account, expiring=False)

    def _key(self, ref: RequestKey) -> str:
        return f"connect-worker:{{{self.account}}}:request:{ref}"


@contextmanager
def stepped_redis(url: str) -> Iterator[SteppedRedis]:
    """Put a relay before a server, and a stepped clock into it."""
    socket = Path(url.removeprefix("unix://"))
    with lossy_relay(socket.parent, socket) as relay, connect(url) as server:
        stepped = SteppedRedis(server, relay)
        try:
            yield stepped
        finally:
            stepped.close()
            server.delete(CLOCK_KEY)
