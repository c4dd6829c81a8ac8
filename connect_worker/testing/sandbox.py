"""The sandbox as a process of its own, and what a test asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests

from connect_worker.config import Config
from connect_worker.devtools.environment import (
    Ready,
    base_environment,
    find_root,
    read_ready,
    sandbox_command,
)
from connect_worker.devtools.processes import Processes
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.requests import Fulfillment, TierConfigRequest
from connect_worker.models.usage import UsageFile, UsageListing

START_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.05

_KINDS: Final[Mapping[type[BaseModel], RequestKind]] = {
    Fulfillment: RequestKind.FULFILLMENT,
    TierConfigRequest: RequestKind.TIER_CONFIG,
    UsageFile: RequestKind.USAGE_FILE,
    UsageListing: RequestKind.USAGE,
}
#: What the sandbox says itself of the requests that it is given.
_ITS_OWN: Final = ("created", "created_at", "updated", "events", "params_form_url")


class Sandbox:
    """A running sandbox.

    Attributes:
        url: Its root.
        api_url: Where it speaks Connect's API.
        api_key: The vendor's key.
        vendor_url: Where it plays a vendor's provisioning system: `POST …/tenants` makes one tenant
            for each `Idempotency-Key`.
    """

    def __init__(self, ready: Ready) -> None:
        self.url = ready.url
        self.api_url = ready.api_url
        self.api_key = ready.api_key
        self.vendor_url = f"{ready.url}/vendor"
        self._session = requests.Session()
        # A proxy of the environment does not lead to this machine.
        self._session.trust_env = False

    @property
    def config(self) -> Config:
        """The account's configuration, for a processor that is run in this process."""
        return Config.local(self.api_url, self.api_key)

    def add(self, request: Fulfillment | TierConfigRequest | UsageFile | UsageListing) -> str:
        """Put a request before the vendor; return the id that it gets here.

        What the builders make fits. The sandbox names the request and its asset anew, and it knows
        no products but its own.

        Raises:
            ValueError: The sandbox does not take it; says why.
        """
        kind = _KINDS[type(request)]
        body = {name: value for name, value in request.json.items() if name not in _ITS_OWN}
        answer = self._call("POST", "requests", {"kind": kind.value, "body": body})
        return str(answer["ids"][0])

    def entry(self, request_id: str) -> dict[str, Any]:
        """Return what has happened to a request.

        Its `status`, the outcomes that were `accepted` (each with `action`, `body` and
        `idempotency_key`) and the posts that were `refused`, the `messages` of its conversation,
        the `params` that were stored, the `usage_files` of a listing, and of the `vendor`'s system
        its `calls`, `effects` and `keys`.
        """
        found: dict[str, Any] = self._call("GET", f"report/{request_id}")
        return found

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the entries of all requests, by id."""
        found: dict[str, dict[str, Any]] = self._call("GET", "report")["requests"]
        return found

    def wait_for(self, request_id: str, status: str, *, seconds: float = 30) -> dict[str, Any]:
        """Return a request's entry once it has a status.

        Raises:
            AssertionError: It has not within the time; tells what it has.
        """
        return self.wait_until(
            request_id, lambda entry: entry["status"] == status, f"not {status}", seconds=seconds
        )

    def wait_until(
        self,
        request_id: str,
        holds: Callable[[dict[str, Any]], bool],
        otherwise: str = "not as it was waited for",
        *,
        seconds: float = 30,
    ) -> dict[str, Any]:
        """Return a request's entry once a condition on it holds.

        Args:
            request_id: The request.
            holds: The condition.
            otherwise: What is said when it does not.
            seconds: How long it may take.

        Raises:
            AssertionError: It does not hold within the time; tells the status.
        """
        give_up = time.monotonic() + seconds
        while not holds(entry := self.entry(request_id)):
            if time.monotonic() > give_up:
                raise AssertionError(
                    f"{request_id} is {entry['status']} and {otherwise} after {seconds:g} s; "
                    f"refused posts: {entry['refused']}"
                )
            time.sleep(_LOOK_SECONDS)
        return entry

    def answer(self, request_id: str, params: Mapping[str, JSON]) -> None:
        """Have the customer answer an inquiry, with values by parameter id."""
        self._call("POST", f"requests/{request_id}/answer", {"params": dict(params)})

    def decide(self, request_id: str, status: str) -> None:
        """Have somebody set a request's status by hand, in the portal."""
        self._call("POST", f"requests/{request_id}/decide", {"status": status})

    @contextmanager
    def fault(self, action: str, **rule: JSON) -> Iterator[None]:
        """Have calls fail inside the with-block.

        Args:
            action: `status`, `delay`, `hang`, `reset_before` (no answer, nothing done),
                `reset_after` (no answer, but done), `html` or `broken_json`.
            **rule: To which calls and how: `method`, `path` (a part of it), `times` (None: all),
                `status`, `seconds`, `retry_after`.
        """
        self._call("POST", "faults", {"action": action, **rule})
        try:
            yield
        finally:
            self._call("DELETE", "faults")

    def reset(self) -> None:
        """Forget all requests and faults."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, body: JSON = None) -> Any:
        answer = self._session.request(
            method, f"{self.url}/sandbox/{path}", json=body, timeout=TIMEOUT_SECONDS
        )
        if not answer.ok:
            raise ValueError(f"the sandbox refused {method} {path}: {answer.text}")
        return answer.json() if answer.content else None


@contextmanager
def running_sandbox(directory: Path) -> Iterator[Sandbox]:
    """Run an empty sandbox for the time of the block; its log is `sandbox.log` in the directory.

    Raises:
        RuntimeError: It does not start; shows the end of its log.
    """
    ready_file = directory / "sandbox.json"
    command = sandbox_command(port=0, requests=0, seed=1, latency_ms=0, ready_file=ready_file)
    with Processes(directory) as processes:
        environment = base_environment(find_root(), directory)
        child = processes.start("sandbox", command, environment=environment)
        give_up = time.monotonic() + START_SECONDS
        while not ready_file.is_file():
            if child.status is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the sandbox did not start:\n{child.last_lines}")
            time.sleep(_LOOK_SECONDS)
        yield Sandbox(read_ready(ready_file))
