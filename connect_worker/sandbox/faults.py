"""Rules that make the sandbox misbehave as networks and servers do."""

import re
from dataclasses import dataclass, field
from typing import Any

from connect_worker.sandbox.http import BadRequestError, Json

#: What a rule can do, and whether the call takes effect if the rule does not say so itself.
ACTIONS = {
    "status": False,  # respond with an error status
    "reset_before": False,  # drop the connection instead of handling the call
    "reset_after": True,  # handle the call, then drop the connection
    "hang": True,  # handle the call, and never respond
    "delay": True,  # handle the call, and respond late
    "html": False,  # respond 200 with a web page, as proxies do
    "broken_json": False,  # respond 200 with half a document
    "echo": False,  # respond with an error that repeats the call and its headers, in broken JSON
}


@dataclass
class Fault:
    """One rule; ``times`` counts down, None means without end.

    The author of the test writes the regular expression of ``path``; it is not checked for speed.
    """

    id: int
    action: str
    method: str | None = None
    path: str = ""
    request_id: str | None = None
    status: int = 500
    retry_after: float | None = None
    seconds: float = 1.0
    times: int | None = 1
    commits: bool = False
    hits: int = 0
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pattern = re.compile(self.path)

    def applies_to(self, method: str, path: str, request_id: str | None) -> bool:
        """Whether the rule is still active and applies to this call."""
        return (
            self.times != 0
            and self.method in (None, method)
            and self.request_id in (None, request_id)
            and self._pattern.search(path) is not None
        )

    def body(self) -> Json:
        """The rule as it was sent, and how often it applied."""
        return {
            "id": self.id,
            "action": self.action,
            "method": self.method,
            "path": self.path,
            "request_id": self.request_id,
            "status": self.status,
            "retry_after": self.retry_after,
            "seconds": self.seconds,
            "times": self.times,
            "commit": self.commits,
            "hits": self.hits,
        }


class Faults:
    """The active rules, oldest first; the first that applies is used."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._made = 0

    def add(self, document: Json) -> Fault:
        """Activate a rule.

        Raises:
            BadRequestError: The document is not a valid rule.
        """
        self._made += 1
        rule = _read(document, self._made)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Drop every rule."""
        self._rules.clear()

    def take(self, method: str, path: str, request_id: str | None) -> Fault | None:
        """Return the rule for this call, and count it as used."""
        for rule in self._rules:
            if rule.applies_to(method, path, request_id):
                rule.hits += 1
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def bodies(self) -> list[Json]:
        """All rules, used up or not."""
        return [rule.body() for rule in self._rules]


_FIELDS = frozenset(
    (
        "action",
        "method",
        "path",
        "request_id",
        "status",
        "retry_after",
        "seconds",
        "times",
        "commit",
    )
)


def _read(document: Json, number: int) -> Fault:
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise BadRequestError(f"A fault rule has no field {', '.join(unknown)}.")
    action = document.get("action")
    if action not in ACTIONS:
        raise BadRequestError(f"A fault's action is one of {', '.join(ACTIONS)}, not '{action}'.")
    method = document.get("method")
    try:
        return Fault(
            id=number,
            action=action,
            method=str(method).upper() if method else None,
            path=str(document.get("path") or ""),
            request_id=document.get("request_id"),
            status=int(document.get("status") or 500),
            retry_after=_number(document.get("retry_after")),
            seconds=float(document.get("seconds", 1.0)),
            times=None if document.get("times", 1) is None else int(document.get("times", 1)),
            commits=bool(document.get("commit", ACTIONS[action])),
        )
    except (re.error, TypeError, ValueError) as error:
        raise BadRequestError(f"The fault rule is not valid: {error}.") from error


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
