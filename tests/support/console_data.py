"""A ledger with a day behind it, and texts in it as no friend would write them."""

from __future__ import annotations

import random
from collections.abc import Mapping

import redis

from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind, State
from connect_worker.ledger.codec import milliseconds
from connect_worker.ledger.redis import RedisLedger
from tests.support.fake_clock import CLOCK, CLOCK_KEY

HOUR = 3600.0
LONG = 86_400.0


def evil(place: str) -> str:
    """A text that runs if anything lets it; the place says where it came from."""
    return f"\"'><script>canary('{place}')</script><img src=x onerror=canary('{place}')>"


class ConsoleData:
    """Fills one account's ledger, at any time of the past."""

    def __init__(self, client: redis.Redis, account: str) -> None:
        self._client = client
        self._account = account
        #: As everybody sees it.
        self.ledger = RedisLedger(client, account=account)
        #: Under the clock that is stepped here, back too: the ledger must not remember its own.
        clock = f"{CLOCK}; redis.call('DEL', '{self.key('clock')}')"
        self.past = RedisLedger(client, account=account, clock=clock)
        self.now = self.ledger.now()
        self.at(self.now)

    def key(self, name: str) -> str:
        """A key of the ledger in Redis."""
        return f"connect-worker:{{{self._account}}}:{name}"

    def at(self, moment: float) -> None:
        """Step the clock of the past."""
        self._client.set(CLOCK_KEY, milliseconds(moment))

    def begin(
        self, ref: RequestKey, *, at: float, product: str = "", cycle: str | None = None
    ) -> None:
        """Have a poll see a request."""
        self.at(at)
        self.past.register([PendingRequest(ref, cycle, product)], seen_at=at, requeue_seconds=LONG)

    def claim(self, ref: RequestKey, *, at: float, worker: str = "worker-7c9d:4711") -> Claim:
        self.at(at)
        claim = self.past.claim(ref, owner=f"{worker}:0123456789ab", lease_seconds=LONG)
        assert isinstance(claim, Claim), claim
        return claim

    def settle(self, ref: RequestKey, *, at: float, took: float, product: str = "") -> None:
        """Have a request completed after so many seconds."""
        self.begin(ref, at=at - took, product=product, cycle=_cycle(ref))
        claim = self.claim(ref, at=at - took / 2)
        self.at(at)
        self.past.decide(claim, {"type": "approve"})
        self.past.complete(claim, "approved", keep_seconds=7 * LONG)

    def park(
        self, ref: RequestKey, error: str, *, at: float, product: str = "", decision: object = None
    ) -> None:
        """Have a request tried three times, and parked."""
        self.begin(ref, at=at - 20, product=product, cycle=_cycle(ref))
        for wait in (19, 14, 4):
            claim = self.claim(ref, at=at - wait)
            if wait > 4:
                self.at(at - wait + 1.5)
                self.past.reschedule(claim, State.RETRY, delay_seconds=1, error=error)
        if decision is not None:
            self.past.decide(claim, decision)
        self.at(at)
        self.past.park(claim, error)

    def day(self, per_hour: Mapping[RequestKind, int], *, seed: int = 7) -> None:
        """Have a day behind it: busy at noon, quiet at night, slow once."""
        dice = random.Random(seed)
        for hour in range(24):
            for kind, usual in per_hour.items():
                share = 0.25 + 0.75 * max(0.0, 1 - abs(hour - 14) / 9)
                for number in range(round(usual * share * dice.uniform(0.8, 1.2))):
                    slow = 12 if hour in (15, 16) else 1
                    took = min(HOUR, dice.lognormvariate(_TYPICAL[kind], 0.8) * slow)
                    at = self.now - (23 - hour) * HOUR - dice.uniform(0, 0.4) * HOUR
                    product = f"PRD-000-000-{dice.randrange(3):03}"
                    ref = RequestKey(
                        kind, f"{_PREFIX[kind]}-{hour:02}{number:02}-{dice.randrange(9999):04}-001"
                    )
                    self.settle(ref, at=at, took=took, product=product)


#: Logarithms of seconds.
_TYPICAL = {
    RequestKind.FULFILLMENT: 1.2,
    RequestKind.TIER_CONFIG: 0.2,
    RequestKind.USAGE_FILE: 3.4,
    RequestKind.USAGE: 2.6,
}
_PREFIX = {
    RequestKind.FULFILLMENT: "PR",
    RequestKind.TIER_CONFIG: "TCR",
    RequestKind.USAGE_FILE: "UF",
    RequestKind.USAGE: "LST",
}


def _cycle(ref: RequestKey) -> str | None:
    """The kinds whose cycles Connect names."""
    return None if ref.kind is RequestKind.FULFILLMENT else "2026-11-28T08:00:00"
