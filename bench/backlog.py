"""The stand-in's requests: which are pending, which were approved, and which got two posts."""

from __future__ import annotations

import json
from collections import Counter
from functools import reduce
from operator import getitem
from pathlib import Path

#: A real request's document, 4.2 KB, with all personal data replaced.
PAYLOAD = Path(__file__).parents[1] / "tests/data/payloads/fulfillment_request.json"


class Backlog:
    """A number of equal requests; a client must approve each of them once.

    Args:
        count: The number of requests that are pending at the start.
        conversations: Whether each request has a conversation that accepts messages.
    """

    def __init__(self, count: int = 0, *, conversations: bool = True) -> None:
        self.conversations = conversations
        #: When each request became pending and approved, by id; seconds of the steady clock.
        self.created: dict[str, float] = {}
        self.approved: dict[str, float] = {}
        self.pending: dict[str, None] = {}
        self.messages: Counter[str] = Counter()
        #: Approvals of requests that were not pending: the client approved them twice.
        self.refused = 0
        self._documents: dict[tuple[str, ...], bytes] = {(): _template(())}
        self._page: list[str] | None = None
        self.add(count, now=0.0)

    def add(self, count: int, *, now: float) -> None:
        """Add that many pending requests."""
        first = len(self.created)
        for number in range(first, first + count):
            name = f"PR-{number // 10_000:04d}-{number % 10_000:04d}-000"
            self.created[name] = now
            self.pending[name] = None
        self._page = None

    def approve(self, name: str, *, now: float) -> bool:
        """Approve a request; return False if it is not pending."""
        if name not in self.pending:
            self.refused += 1
            return False
        del self.pending[name]
        self.approved[name] = now
        self._page = None
        return True

    def document(self, name: str, without: tuple[str, ...] = ()) -> bytes:
        """Return the request as JSON, without the fields at these paths."""
        status = b"pending" if name in self.pending else b"approved"
        if without not in self._documents:
            self._documents[without] = _template(without)
        return (
            self._documents[without]
            .replace(b"@name@", name[3:].encode())
            .replace(b"@status@", status)
        )

    def page(self, offset: int, limit: int) -> tuple[list[str], int]:
        """Return the names of one page of pending requests, and their total number."""
        if self._page is None:
            self._page = list(self.pending)
        return self._page[offset : offset + limit], len(self._page)

    @property
    def is_done(self) -> bool:
        """Whether each request is approved and its conversation, if it has one, has its message."""
        return not self.pending and (
            not self.conversations or len(self.messages) == len(self.created)
        )

    @property
    def duplicates(self) -> int:
        """The number of repeated approvals and messages."""
        return self.refused + sum(count - 1 for count in self.messages.values())


def _template(without: tuple[str, ...]) -> bytes:
    document = json.loads(PAYLOAD.read_text("utf-8"))[0]
    document |= {"id": "PR-@name@", "status": "@status@"}
    document["asset"]["id"] = "AS-@name@"
    for path in without:
        *parents, name = path.split(".")
        reduce(getitem, parents, document).pop(name, None)
    return json.dumps(document).encode()
