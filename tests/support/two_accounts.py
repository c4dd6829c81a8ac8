"""A deployment that serves several accounts, each on a sandbox of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from connect_worker.config import Config
from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.model import account_name
from tests.support.stack import ROOT, Stack

PROCESSORS = ROOT / "tests/support/processors/both.py"
#: More than any test here needs on a machine that others use too.
PATIENCE_SECONDS = 90.0


class Account:
    """One account: its sandbox, and what the ledger has of it."""

    def __init__(self, name: str, facts: dict[str, str], redis_url: str) -> None:
        self.name = name
        self.url, self.api_url, self.api_key = facts["url"], facts["api_url"], facts["api_key"]
        config = Config.local(self.api_url, self.api_key)
        self.ledger = RedisLedger.from_url(redis_url, account=account_name(config))

    def control(self, method: str, path: str, json: Any = None) -> Any:
        """Call the sandbox's own control part."""
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=json, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def misbehave(self, action: str, **rule: Any) -> None:
        """Put a rule in force by which the sandbox misbehaves from now on."""
        self.control("POST", "faults", {"action": action, "times": None, **rule})

    def behave(self) -> None:
        """Drop the rules."""
        self.control("DELETE", "faults")

    def add(self, count: int = 1) -> list[str]:
        """Have customers order; the requests' ids."""
        made = self.control("POST", "requests", {"count": count, "scenario": "purchase"})
        return list(made["ids"])

    def requests(self) -> dict[str, Any]:
        """What the sandbox says of each request."""
        return dict(self.control("GET", "report")["requests"])

    def waiting(self) -> int:
        """How many requests are pending."""
        totals = self.control("GET", "report?summary=1")["totals"]
        return int(totals["fulfillment"]["status"].get("pending", 0))

    def calls(self) -> list[dict[str, Any]]:
        """The latest calls to Connect, the vendor's aside."""
        found = self.control("GET", "calls")
        return [call for call in found if "/vendor/" not in call["route"]]


class AccountsStack(Stack):
    """Several accounts, and the processes that serve them."""

    def __init__(self, directory: Path, redis_url: str, **settings: str) -> None:
        own = {"CONNECT_PROCESSORS": str(PROCESSORS), "CONNECT_LEASE_SECONDS": "60"}
        super().__init__(directory, redis_url, **{**own, **settings})
        self.redis_url = redis_url
        self.accounts: dict[str, Account] = {}

    def open(self, name: str, *, orders: int = 0, latency_ms: int = 0) -> Account:
        """Open an account with so many orders; those of all are called alike."""
        ready = self.directory / f"{name}.json"
        self.start(
            f"sandbox-{name}",
            *("-m", "connect_worker.sandbox", "--port", "0", "--ready-file", str(ready)),
            *("--requests", "0", "--latency-ms", str(latency_ms)),
        )
        self.until(ready.is_file, "the sandbox is ready", seconds=30)
        account = Account(name, json.loads(ready.read_text()), self.redis_url)
        self.accounts[name] = account
        self.environment |= {
            "CONNECT_ACCOUNTS": ",".join(self.accounts),
            f"CONNECT_{name.upper()}_API_URL": account.api_url,
            f"CONNECT_{name.upper()}_API_KEY": account.api_key,
        }
        if orders:
            account.add(orders)
        return account

    def beat(self) -> None:
        """Start beat."""
        self.celery("beat", "beat", "-l", "info")

    def until_soon(self, condition: Any, what: str) -> None:
        """Wait for what is due within seconds."""
        self.until(condition, what, seconds=PATIENCE_SECONDS)

    def seconds_until(self, condition: Any, what: str) -> float:
        """Wait likewise; return how long it took."""
        begun = time.monotonic()
        self.until_soon(condition, what)
        return time.monotonic() - begun

    def stop(self) -> None:
        """End all processes: one that waits for an account that hangs would take its time."""
        for name in list(self.processes):
            with suppress(ProcessLookupError):
                self.kill(name)


@contextmanager
def running_accounts_stack(directory: Path, **settings: str) -> Iterator[AccountsStack]:
    """A Redis of its own, and no other process yet."""
    with embedded_redis() as redis_url:
        estate = AccountsStack(directory, redis_url, **settings)
        try:
            yield estate
        finally:
            estate.stop()
