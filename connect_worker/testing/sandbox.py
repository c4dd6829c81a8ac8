"""The `sandbox` fixture: a sandbox in a process of its own, and the calls that control it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests

from connect_worker.config import Config
from connect_worker.devtools.processes import Processes, until
from connect_worker.devtools.stack import SandboxAddress, SandboxOptions, Stack
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.requests import Fulfillment, TierConfigRequest
from connect_worker.models.usage import UsageFile, UsageListing

TIMEOUT_SECONDS: Final = 20.0

_KINDS: Final[Mapping[type[BaseModel], RequestKind]] = {
    Fulfillment: RequestKind.FULFILLMENT,
    TierConfigRequest: RequestKind.TIER_CONFIG,
    UsageFile: RequestKind.USAGE_FILE,
    UsageListing: RequestKind.USAGE,
}
#: Fields that the sandbox sets itself in a request that is added.
_SET_BY_SANDBOX: Final = ("created", "created_at", "updated", "events", "params_form_url")


class Sandbox:
    """A running sandbox.

    Attributes:
        url: Its root.
        api_url: The root of Connect's API in it.
        api_key: The key of the vendor's account.
        vendor_url: A vendor's provisioning system in it: `POST …/tenants` creates one tenant for
            each `Idempotency-Key`.
    """

    def __init__(self, address: SandboxAddress) -> None:
        self.url = address.url
        self.api_url = address.api_url
        self.api_key = address.api_key
        self.vendor_url = f"{address.url}/vendor"
        self._session = requests.Session()
        # A proxy of the environment can't reach this machine's servers.
        self._session.trust_env = False

    @property
    def config(self) -> Config:
        """The account's configuration, for a processor that runs in this process."""
        return Config.local(self.api_url, self.api_key)

    def add(self, request: Fulfillment | TierConfigRequest | UsageFile | UsageListing) -> str:
        """Add a request, such as one from a builder, and return the id that it gets.

        The sandbox gives the request and its asset new ids. It has only its own products.

        Raises:
            ValueError: The sandbox refuses the request; the message says why.
        """
        kind = _KINDS[type(request)]
        body = {name: value for name, value in request.json.items() if name not in _SET_BY_SANDBOX}
        answer = self._call("POST", "requests", {"kind": kind.value, "body": body})
        return str(answer["ids"][0])

    def entry(self, request_id: str) -> dict[str, Any]:
        """Return what has happened to a request.

        The entry has its `status`, the actions that were `accepted` (each with `action`, `body`
        and `idempotency_key`), the posts that were `refused`, the `messages` of its conversation,
        the `params` that were stored, and the `usage_files` of a listing. Its `vendor` has the
        `calls`, `effects` and `keys` of the vendor's system.
        """
        entry: dict[str, Any] = self._call("GET", f"report/{request_id}")
        return entry

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the entries of all requests, by id."""
        entries: dict[str, dict[str, Any]] = self._call("GET", "report")["requests"]
        return entries

    def wait_for(self, request_id: str, status: str, *, seconds: float = 30) -> dict[str, Any]:
        """Wait until a request has a status; return its entry.

        Raises:
            AssertionError: It does not get the status in time; the message has its status.
        """
        return self.wait_until(
            request_id, lambda entry: entry["status"] == status, f"not {status}", seconds=seconds
        )

    def wait_until(
        self,
        request_id: str,
        holds: Callable[[dict[str, Any]], bool],
        otherwise: str = "does not meet the condition",
        *,
        seconds: float = 30,
    ) -> dict[str, Any]:
        """Wait until a request's entry meets a condition; return the entry.

        Args:
            request_id: The request.
            holds: The condition.
            otherwise: A part of the error message: what is wrong with the request.
            seconds: How long to wait.

        Raises:
            AssertionError: The condition does not hold in time; the message has the status.
        """
        entry: dict[str, Any] = {}

        def matching_entry() -> dict[str, Any] | None:
            nonlocal entry
            entry = self.entry(request_id)
            return entry if holds(entry) else None

        return until(
            matching_entry,
            seconds=seconds,
            otherwise=lambda: AssertionError(
                f"{request_id} is {entry['status']} and {otherwise} after {seconds:g} s; "
                f"refused posts: {entry['refused']}"
            ),
        )

    def answer(self, request_id: str, params: Mapping[str, JSON]) -> None:
        """Let the customer answer an inquiry, with values by parameter id."""
        self._call("POST", f"requests/{request_id}/answer", {"params": dict(params)})

    def decide(self, request_id: str, status: str) -> None:
        """Set a request's status, as a person does in the portal."""
        self._call("POST", f"requests/{request_id}/decide", {"status": status})

    @contextmanager
    def fault(self, action: str, **rule: JSON) -> Iterator[None]:
        """Let calls fail inside the `with` block.

        Args:
            action: `status`, `delay`, `hang`, `reset_before` (the sandbox does nothing and closes
                the connection), `reset_after` (it executes the call, then closes the connection
                without an answer), `html` or `broken_json`.
            **rule: Which calls fail, and how: `method`, `path` (a part of it), `times` (None: all),
                `status`, `seconds`, `retry_after`.
        """
        self._call("POST", "faults", {"action": action, **rule})
        try:
            yield
        finally:
            self._call("DELETE", "faults")

    def reset(self) -> None:
        """Remove all requests and faults."""
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
    """Run an empty sandbox while the block runs; its log is `sandbox.log` in the directory.

    Raises:
        RuntimeError: It did not start; the message shows the end of its log.
    """
    with Processes(directory) as processes:
        yield Sandbox(Stack(processes).start_sandbox(SandboxOptions()))
