"""An engine over a real sandbox, with a clock that the test steps; no Celery, no Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from connect_worker.api import Client as ConnectClient
from connect_worker.config import Config
from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.retry import RetryPolicy
from connect_worker.domain.states import Backlog, RequestKey, RequestKind, RequestRecord
from connect_worker.engine.job import JobResult
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.poller import PollResult, poll
from connect_worker.engine.rate_limiter import BreakerCache, RateLimiter
from connect_worker.engine.runtime import Registration, Registry, Runtime
from connect_worker.engine.sweeper import sweep
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.resources import (
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.resources.automation import Automation
from connect_worker.resources.processor import AutomationProcessor
from tests.support.ledger_factories import Clock
from tests.support.sandbox_server import API_KEY, Client

KINDS = {
    RequestKind.FULFILLMENT: FulfillmentAutomation,
    RequestKind.TIER_CONFIG: TierConfigAutomation,
    RequestKind.USAGE: UsageAutomation,
    RequestKind.USAGE_FILE: UsageFileAutomation,
}
SKIP_SECONDS = 300.0
MAX_ATTEMPTS = 3


class EngineHarness:
    """One account, one automation, one worker."""

    def __init__(self, sandbox: Client, automation: type[Automation[Any]]) -> None:
        self.sandbox = sandbox
        self.kind = automation.kind
        self.clock = Clock()
        self.messages: deque[RequestKey] = deque()
        config = Config.local(f"{sandbox.root}/public/v1", API_KEY)
        ledger = MemoryLedger(clock=self.clock)
        self.clock.calls.append(ledger.now)
        pause = BreakerCache(clock=self.clock)
        made = AutomationProcessor(self.kind, lambda: automation(config), config)
        self.engine = Runtime(
            ledger=ledger,
            connect=ConnectClient(
                config.api_url,
                config.api_key,
                timeout_seconds=2,
                page_size=7,
                before_call=RateLimiter(ledger, pause),
            ),
            publisher=self,
            registry=Registry([Registration(self.kind, None, automation.__name__, made)]),
            leases=LeaseKeeper(ledger),
            account="test",
            worker="worker-1",
            breaker_cache=pause,
            policy=RetryPolicy(max_attempts=MAX_ATTEMPTS, base_seconds=5, max_seconds=900),
            skip_seconds=SKIP_SECONDS,
        )

    def publish(self, refs: Iterable[RequestKey]) -> None:
        self.messages.extend(refs)

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        assert not list(notices), "nobody has sent a notification"

    def backlogged(self) -> Backlog:
        return Backlog(kinds={ref.kind for ref in self.messages})

    def poll(self) -> PollResult:
        self.clock.step(1)
        polled = poll(self.engine, self.kind)
        self.clock.step(1)
        return polled

    def only(self, request_id: str) -> RequestKey:
        """Poll, and forget the messages about other requests; the request's name."""
        self.poll()
        self.messages.clear()
        return RequestKey(self.kind, request_id)

    def handle(self, ref: RequestKey) -> JobResult:
        return run_job(self.engine, ref)

    def later(self, ref: RequestKey, seconds: float) -> JobResult:
        """Let time pass, sweep, and handle the request if the sweep woke it."""
        self.clock.step(seconds)
        self.messages.clear()
        sweep(self.engine)
        assert ref in self.messages, f"{ref} was not woken after {seconds} s"
        return self.handle(ref)

    def entry(self, ref: RequestKey) -> RequestRecord:
        found = self.engine.ledger.get_record(ref)
        assert found is not None
        return found

    def seen(self, ref: RequestKey) -> Any:
        """What the sandbox says happened to the request."""
        return self.sandbox.entry(ref.id)

    def accepted(self, ref: RequestKey) -> list[str]:
        return [outcome["action"] for outcome in self.seen(ref)["accepted"]]

    def said(self, ref: RequestKey) -> list[str]:
        return [message["text"] for message in self.seen(ref)["messages"]]

    @contextmanager
    def fault(self, action: str, **rule: Any) -> Iterator[None]:
        """Make the sandbox misbehave inside the with-block."""
        self.sandbox.control("POST", "faults", {"action": action, **rule})
        try:
            yield
        finally:
            self.sandbox.control("DELETE", "faults")


def automation(
    process: Callable[[Any, Any], Any],
    kind: RequestKind = RequestKind.FULFILLMENT,
    **attributes: Any,
) -> type[Automation[Any]]:
    """An automation class whose `process_request` is the function."""
    return type("Mine", (KINDS[kind],), {"process_request": process, **attributes})
