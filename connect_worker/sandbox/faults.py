"""Rules that make the sandbox misbehave as networks and servers do."""

import re
from dataclasses import dataclass, field
from typing import Any

from connect_worker.sandbox.errors import BadRequestError

# What one run of the sandbox is to look like.

DEFAULT_API_KEY = "SU-000-000-001:sandbox-vendor-key"


@dataclass(frozen=True)
class Spread:
    """How many requests of each kind are seeded."""

    fulfillment: int
    tier_config: int
    usage_files: int
    listings: int


@dataclass(frozen=True)
class Options:
    """The settings of a run."""

    spread: Spread
    seed: int = 1
    product_count: int = 3
    api_key: str = DEFAULT_API_KEY
    #: a second key that may create requests as the provider does; None: nobody may
    provider_key: str | None = None
    #: added to every answer
    latency_seconds: float = 0.0
    #: after so long the customer answers an inquiry; None: never by itself
    answer_inquiries_seconds: float | None = None
    #: what an accepted upload of usage records is answered with; Connect has sent both 200 and 201
    upload_status: int = 201


def spread_over(
    total: int,
    *,
    fulfillment: int | None = None,
    tier_config: int | None = None,
    usage_files: int | None = None,
    listings: int | None = None,
) -> Spread:
    """Share a total among the kinds: about 60, 15, 15 and 10 of a hundred.

    Each kind gets at least one when the total is four or more. A kind that is given keeps its
    number, whatever the total.
    """
    smaller = [total * share // 100 for share in (15, 15, 10)]
    if total >= 4:
        smaller = [max(1, count) for count in smaller]
    rest = total - sum(smaller)
    return Spread(
        fulfillment=rest if fulfillment is None else fulfillment,
        tier_config=smaller[0] if tier_config is None else tier_config,
        usage_files=smaller[1] if usage_files is None else usage_files,
        listings=smaller[2] if listings is None else listings,
    )


Json = dict[str, Any]

#: What a rule can do, and whether the call takes effect unless the rule says otherwise.
ACTIONS = {
    "status": False,  # answer with an error status
    "reset_before": False,  # drop the connection instead of handling the call
    "reset_after": True,  # handle the call, then drop the connection
    "hang": True,  # handle the call, then never answer
    "delay": True,  # handle and answer the call, but late
    "html": False,  # answer 200 with a web page, as proxies do
    "broken_json": False,  # answer 200 with half a document
    "echo": False,  # answer an error that repeats the call, its headers included, in broken JSON
}


@dataclass
class Fault:
    """One rule; ``times`` counts down, None is for ever."""

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
        """Whether the rule is still in force and meant for this call."""
        return (
            self.times != 0
            and self.method in (None, method)
            and self.request_id in (None, request_id)
            and self._pattern.search(path) is not None
        )

    def body(self) -> Json:
        """The rule as it was given, and how often it applied."""
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
    """The rules in force, oldest first; the first that applies is used."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._made = 0

    def add(self, document: Json) -> Fault:
        """Put a rule in force.

        Raises:
            BadRequestError: the document is no rule.
        """
        self._made += 1
        rule = _read(document, self._made)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Drop every rule."""
        self._rules.clear()

    def take(self, method: str, path: str, request_id: str | None) -> Fault | None:
        """The rule for this call, used up once."""
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
        raise BadRequestError(f"The fault rule cannot be read: {error}.") from error


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
