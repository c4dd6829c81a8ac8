"""Remembers what clients did to each request, for the report."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

#: So many of the latest calls are remembered one by one.
RECENT_CALLS = 20_000


@dataclass(slots=True)
class Entry:
    """What happened to one request."""

    #: outcomes that changed its status: action, at, idempotency_key, body
    accepted: list[Json] = field(default_factory=list)
    #: posts and puts that were answered with an error: action, status, error, at
    refused: list[Json] = field(default_factory=list)
    #: calls that named it, by HTTP method
    calls: Counter[str] = field(default_factory=Counter)
    #: texts posted to its conversation
    messages: list[Json] = field(default_factory=list)
    #: values put to its parameters
    params: list[Json] = field(default_factory=list)
    #: what else happened to it: answered, decided; created, uploaded (usage files)
    events: list[Json] = field(default_factory=list)
    #: usage files created for it (listings only)
    usage_files: list[str] = field(default_factory=list)


class Journal:
    """Entries by request, and totals over all calls."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        #: accepted outcomes by (kind, action), refused posts and puts by kind
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.routes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        #: the latest calls, oldest first: at, route, status (0: no answer)
        self.recent: deque[Json] = deque(maxlen=RECENT_CALLS)

    def entry(self, request_id: str) -> Entry:
        """The entry of a request, made at its first use."""
        return self._entries.setdefault(request_id, Entry())

    def seen(self, request_id: str) -> Entry:
        """The entry of a request, or an empty one that is not kept."""
        return self._entries.get(request_id) or Entry()

    def call(self, route: str, status: int, at: str) -> None:
        """Note a call and what it was answered with."""
        self.routes[route] += 1
        self.statuses[status] += 1
        self.recent.append({"at": at, "route": route, "status": status})

    def accept(self, kind: str, request_id: str, outcome: Json) -> None:
        """Note an outcome that changed a request's status."""
        self.entry(request_id).accepted.append(outcome)
        self.accepted[kind, outcome["action"]] += 1

    def refuse(self, kind: str, request_id: str, post: Json) -> None:
        """Note a post or put that was answered with an error."""
        self.entry(request_id).refused.append(post)
        self.refused[kind] += 1
