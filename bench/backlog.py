"""The stand-in's requests: which wait, which were approved, and what was done twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

#: A real request's document, 4.2 KB, with everything personal replaced.
PAYLOAD = Path(__file__).parents[1] / "tests/data/payloads/fulfillment_request.json"


class Backlog:
    """A number of equal requests, each to be approved once.

    Args:
        count: How many wait from the beginning.
        conversations: Whether each has a conversation to which a message can be added.
    """

    def __init__(self, count: int = 0, *, conversations: bool = True) -> None:
        self.conversations = conversations
        #: By id, when it began to wait, when it was approved; seconds by the system's steady clock.
        self.created: dict[str, float] = {}
        self.approved: dict[str, float] = {}
        self.pending: dict[str, None] = {}
        self.said: Counter[str] = Counter()
        #: Approvals of what did not wait: the client did something twice.
        self.refused = 0
        self._document = _template()
        self._page: list[str] | None = None
        self.add(count, now=0.0)

    def add(self, count: int, *, now: float) -> None:
        """Let so many more requests wait."""
        first = len(self.created)
        for number in range(first, first + count):
            name = f"PR-{number // 10_000:04d}-{number % 10_000:04d}-000"
            self.created[name] = now
            self.pending[name] = None
        self._page = None

    def approve(self, name: str, *, now: float) -> bool:
        """Approve a request; False when it does not wait."""
        if name not in self.pending:
            self.refused += 1
            return False
        del self.pending[name]
        self.approved[name] = now
        self._page = None
        return True

    def document(self, name: str) -> bytes:
        """The request as JSON."""
        status = b"pending" if name in self.pending else b"approved"
        return self._document.replace(b"@name@", name[3:].encode()).replace(b"@status@", status)

    def page(self, offset: int, limit: int) -> tuple[list[str], int]:
        """Names of those that wait, and how many there are in all."""
        if self._page is None:
            self._page = list(self.pending)
        return self._page[offset : offset + limit], len(self._page)

    @property
    def is_done(self) -> bool:
        """Whether each request is approved and, where it has a conversation, its message said."""
        return not self.pending and (not self.conversations or len(self.said) == len(self.created))

    @property
    def doubled(self) -> int:
        """How much was done more than once: approvals and messages."""
        return self.refused + sum(count - 1 for count in self.said.values())


def _template() -> bytes:
    document = json.loads(PAYLOAD.read_text("utf-8"))[0]
    document |= {"id": "PR-@name@", "status": "@status@"}
    document["asset"]["id"] = "AS-@name@"
    return json.dumps(document).encode()
