"""Decided requests for `replay`: found in Connect, made pending again, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, assert_never

from connect_worker.api.client import Client
from connect_worker.domain.kinds import KINDS, status_of
from connect_worker.domain.outcomes import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    NoDecision,
    Outcome,
    Report,
    Skip,
)
from connect_worker.domain.states import JSON, RequestKind

#: The statuses of a decided request; a listing is never decided.
DECIDED_STATUSES: Final[Mapping[RequestKind, tuple[str, ...]]] = {
    RequestKind.FULFILLMENT: ("approved", "failed"),
    RequestKind.TIER_CONFIG: ("approved", "failed"),
    RequestKind.USAGE_FILE: ("pending", "accepted", "rejected", "closed"),
}
#: The statuses of a file that the vendor has submitted; the provider may have moved it on.
_SUBMITTED: Final = frozenset({"pending", "accepted", "rejected", "closed"})


def latest(client: Client, kind: RequestKind, *, products: list[str], last: int) -> Iterator[JSON]:
    """Yield the documents of the last decided requests of a kind, the newest first.

    Args:
        client: The account.
        kind: Any but usage.
        products: Of these products; none for all.
        last: How many at most.
    """
    facts = KINDS[kind]
    terms = [f"in(status,({','.join(DECIDED_STATUSES[kind])}))"]
    if products:
        terms.append(f"in({facts.product_field},({','.join(products)}))")
    terms += [f"ordering(-{facts.created_field})", f"limit={last}"]
    return islice(client.get_all(facts.path, "&".join(terms)), last)


def as_pending(kind: RequestKind, document: Mapping[str, JSON]) -> dict[str, Any]:
    """Return a decided request as if it were pending; what the vendor stored in it stays."""
    decided = ("reason", "template", "activation_key")
    kept = {name: value for name, value in document.items() if name not in decided}
    return {**kept, "status": KINDS[kind].pending_status}


def difference(document: Mapping[str, JSON], outcome: Outcome | None) -> str:
    """Return how a decision differs from the request's status in Connect; "" when it does not.

    Templates and texts are compared where Connect shows them as they were sent.
    """
    was, now = _status_in(document), _status_after(outcome)
    if was != now:
        return f"was {was}, now {_in_words(outcome)}"
    match outcome:
        case Approve(template_id=template) if template:
            former = _id_in(document.get("template"))
            if former and former != template:
                return f"was approved with template {former}, now with {template}"
        case Approve(tile=str(tile)):
            if _tile_in(document) not in ("", tile):
                return "was approved with another text"
        case Fail(reason):
            former_reason = document.get("reason")
            if former_reason and former_reason != reason:
                return f"was failed for {former_reason!r}, now for {reason!r}"
    return ""


def _status_in(document: Mapping[str, JSON]) -> str:
    status = status_of(dict(document))
    is_file = "records" in document or str(document.get("id", "")).startswith("UF-")
    return "submitted" if is_file and status in _SUBMITTED else status


def _status_after(outcome: Outcome | None) -> str:
    match outcome:
        case Approve():
            return "approved"
        case Fail():
            return "failed"
        case Inquire():
            return "inquiring"
        case FileAction(action):
            return "submitted" if action == "submit" else action
        case Skip() | NoDecision() | Report() | None:
            return "left as it is"
        case _:
            assert_never(outcome)


def _in_words(outcome: Outcome | None) -> str:
    match outcome:
        case Fail(reason):
            return f"failed: {reason}"
        case Inquire(message):
            return f"inquiring: {message}"
        case Skip(message):
            return f"left as it is: {message}"
        case _:
            return _status_after(outcome)


def _tile_in(document: Mapping[str, JSON]) -> str:
    template = document.get("template")
    shown = template.get("representation") if isinstance(template, dict) else None
    if _id_in(template):
        # The text is a rendered template, and not the processor's.
        return ""
    return str(shown or document.get("activation_key") or "")


def _id_in(template: JSON) -> str:
    return str(template.get("id") or "") if isinstance(template, dict) else ""
