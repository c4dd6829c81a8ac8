"""How the four kinds of request differ, as data: ids, paths, filters, products, cycles, schedules.

The paths and fields are those of Connect's OpenAPI description (37.0), the default filters those of
the 2019 SDK's `filters` methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, Self

from connect_worker.domain.states import JSON, RequestKey, RequestKind

_ID = r"-[A-Za-z0-9][A-Za-z0-9_-]{0,59}"

#: What a usage automation's own `list` may return instead of listings, by the letters of its ids:
#: the collection's path, and where the document has the product's id.
_REPORTABLE: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "AS": ("assets", ("product", "id")),
    "CRD": ("contracts", ("product", "id")),
    "PR": ("requests", ("asset", "product", "id")),
    "PRD": ("products", ("id",)),
    "TC": ("tier/configs", ("product", "id")),
    "TCR": ("tier/config-requests", ("configuration", "product", "id")),
    "UF": ("usage/files", ("product", "id")),
}
_LETTERS: Final = "LST|AS|CRD|PR|PRD|TC|TCR|UF"
#: The letters of the ids for which usage is reported.
REPORTABLE: Final = tuple(_LETTERS.split("|"))

#: Ledger names of requests, the only texts a message may carry; a listing's includes its period.
_PATTERNS: Final[Mapping[RequestKind, re.Pattern[str]]] = {
    RequestKind.FULFILLMENT: re.compile(rf"PR{_ID}"),
    RequestKind.TIER_CONFIG: re.compile(rf"TCR{_ID}"),
    RequestKind.USAGE_FILE: re.compile(rf"UF{_ID}"),
    RequestKind.USAGE: re.compile(rf"(?:{_LETTERS}){_ID}@[\w .:/+-]{{1,64}}"),
}

#: A listing's id in Connect, without a period.
_LISTING: Final = re.compile(rf"LST{_ID}")
_REPORTABLE_ID: Final = re.compile(rf"(?:{_LETTERS}){_ID}")


def is_request_id(kind: RequestKind, text: object) -> bool:
    """Whether a text can be the id of a request of the kind in Connect."""
    pattern = _LISTING if kind is RequestKind.USAGE else _PATTERNS[kind]
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def has_periods(request_id: str) -> bool:
    """Whether an id can only be that of something whose usage is reported, once a period."""
    is_other = any(pattern.fullmatch(request_id) for pattern in _PATTERNS.values())
    return not is_other and _REPORTABLE_ID.fullmatch(request_id) is not None


def is_request_name(kind: RequestKind, text: object) -> bool:
    """Whether a text can name a request of the kind in the ledger, in a path and in a message."""
    return isinstance(text, str) and _PATTERNS[kind].fullmatch(text) is not None


def is_nameable(ref: RequestKey) -> bool:
    """Whether a worker accepts a message about the request."""
    return is_request_name(ref.kind, ref.id)


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What the engine needs to know of one kind."""

    kind: RequestKind
    #: The collection's path; one request is at `path/{id}`.
    path: str
    #: The status in which requests wait for the vendor, unless a processor's filters override it.
    pending_status: str
    #: The RQL field that holds the product's id.
    product_field: str
    #: The same, as the path in the document.
    product_path: tuple[str, ...]
    #: The field to order a collection by, oldest first.
    created_field: str
    #: Whether requests have a conversation in which messages are posted.
    has_conversation: bool = False
    #: What a poll does not need of a document, as far as Connect can leave it out of a list: the
    #: description names it for `select`, or has filters by its fields.
    unneeded: tuple[str, ...] = ()


KINDS: Mapping[RequestKind, KindFacts] = {
    facts.kind: facts
    for facts in (
        KindFacts(
            RequestKind.FULFILLMENT,
            path="requests",
            pending_status="pending",
            product_field="asset.product.id",
            product_path=("asset", "product", "id"),
            created_field="created",
            has_conversation=True,
            unneeded=(
                *("activation_key", "template", "asset.configuration", "asset.items"),
                *("asset.params", "asset.tiers"),
            ),
        ),
        KindFacts(
            RequestKind.TIER_CONFIG,
            path="tier/config-requests",
            pending_status="pending",
            product_field="configuration.product.id",
            product_path=("configuration", "product", "id"),
            created_field="created",
            unneeded=("configuration.configuration", "configuration.params", "tiers"),
        ),
        KindFacts(
            RequestKind.USAGE_FILE,
            path="usage/files",
            pending_status="ready",
            product_field="product.id",
            product_path=("product", "id"),
            created_field="created.at",
        ),
        KindFacts(
            RequestKind.USAGE,
            path="listings",
            pending_status="listed",
            product_field="product.id",
            product_path=("product", "id"),
            created_field="created",
        ),
    )
}


def path_of(kind: RequestKind, request_id: str) -> str:
    """Return the path of a request, or of what usage is reported for."""
    return f"{_source(kind, request_id)[0]}/{request_id}"


def product_of(kind: RequestKind, document: JSON) -> str:
    """Return the id of the document's product; "" when it names none."""
    return _as_name(_value_at(document, *_product_path(kind, document)))


def _product_path(kind: RequestKind, document: JSON) -> tuple[str, ...]:
    return _source(kind, _value_at(document, "id"))[1]


def _source(kind: RequestKind, request_id: object) -> tuple[str, tuple[str, ...]]:
    """Return the collection that has a request, and where its documents have the product's id."""
    own = KINDS[kind].path, KINDS[kind].product_path
    if kind is not RequestKind.USAGE or not isinstance(request_id, str):
        return own
    return _REPORTABLE.get(request_id.partition("-")[0], own)


def status_of(document: JSON) -> str:
    """Return the document's status in lower case (Connect sometimes sends capitals)."""
    return _as_name(_value_at(document, "status")).lower()


def _value_at(document: JSON, *path: str) -> object:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


#: Connect's ids, statuses and times are shorter.
_MAX_NAME_CHARACTERS: Final = 128
#: Connect's documents have about ten levels. Code that recurses over a document may rely on this.
MAX_LEVELS: Final = 100


def _as_name(value: object) -> str:
    """Return a text that can name something in the ledger and in a log; "" for any other value.

    Lone surrogates and control characters are not printable.
    """
    is_name = isinstance(value, str) and len(value) <= _MAX_NAME_CHARACTERS and value.isprintable()
    return str(value) if is_name else ""


def document_fault(ref: RequestKey, document: JSON) -> tuple[str, str] | None:
    """Return what keeps a worker from processing a document, as a path and a text; None if nothing.

    Only what the engine itself uses is checked: the processor's model checks the rest.
    """
    if not isinstance(document, dict):
        return "", f"it is {excerpt(document)}, not an object"
    if has_too_many_levels(document):
        return "", f"it has more than {MAX_LEVELS} levels"
    if document.get("id") != ref.request_id:
        return "id", f"{excerpt(document.get('id'))} is not the id that was asked for"
    paths = [("status",), _product_path(ref.kind, document)]
    paths += [("events", name, "at") for name in _EVENTS.get(ref.kind, ())]
    for path in paths:
        value = _value_at(document, *path)
        if value not in (None, "") and not _as_name(value):
            return ".".join(path), f"{excerpt(value)} can't be used"
    return None if status_of(document) else ("status", "it is missing")


def excerpt(value: object) -> str:
    """Show the beginning of any value, in ASCII."""
    match value:
        case str():
            shown = ascii(value[:40])
            return f"{shown[:60]}… ({len(value)} characters)" if len(value) > 40 else shown
        case list() | dict():
            return "a list" if isinstance(value, list) else "an object"
        case None:
            return "null"
        case _:
            return ascii(value)[:40]


def has_too_many_levels(document: JSON) -> bool:
    """Whether a document has more than `MAX_LEVELS` levels."""
    level = [document]
    for _ in range(MAX_LEVELS):
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, dict) else part)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _cycle_of_tier_config(document: JSON) -> str | None:
    """`events.pended.at`: changes each time the request becomes pending."""
    return _event_at(document, "pended")


def _cycle_of_usage_file(document: JSON) -> str | None:
    """The status and the latest event that led there: `ready@2026-11-21T11:10:29+00:00`.

    A file that is rejected and uploaded again is `ready` a second time, with a later `uploaded`
    event.
    """
    moments = (_event_at(document, name) for name in _FILE_EVENTS)
    return "@".join((status_of(document), max((at for at in moments if at), default="")))


_FILE_EVENTS = ("created", "uploaded", "submitted", "accepted", "rejected", "closed")

#: The events of which a cycle's name is made.
_EVENTS: Mapping[RequestKind, tuple[str, ...]] = {
    RequestKind.TIER_CONFIG: ("pended",),
    RequestKind.USAGE_FILE: _FILE_EVENTS,
}

_CYCLES: Mapping[RequestKind, Callable[[JSON], str | None]] = {
    RequestKind.TIER_CONFIG: _cycle_of_tier_config,
    RequestKind.USAGE_FILE: _cycle_of_usage_file,
}


def cycle_of(kind: RequestKind, document: JSON) -> str | None:
    """Return the cycle that the document names, or None if the ledger has to count.

    Fulfillment requests have no events, and `updated` changes with every parameter, also when the
    worker changes one. A listing's cycle is its reporting period, which its processor chooses.
    """
    cycle = _CYCLES.get(kind)
    return cycle(document) if cycle else None


def _event_at(document: JSON, name: str) -> str | None:
    return _as_name(_value_at(document, "events", name, "at")) or None


# ---- change hints: Connect notified that something changed. A hint is only a wake-up call: the
# worker that refreshes it asks Connect for the current state.

#: The longest URL that is searched for an id at its end.
_MAX_URL_CHARACTERS: Final = 1000

#: The objects of each kind in Connect's notifications (OpenAPI 37.0, `ns.Webhook`).
OBJECT_CLASSES: Final[Mapping[RequestKind, str]] = {
    RequestKind.FULFILLMENT: "fulfillment_request",
    RequestKind.TIER_CONFIG: "tier_config_request",
    RequestKind.USAGE_FILE: "usage_file",
    # A request to list a product; usage is reported for the listing that it leads to.
    RequestKind.USAGE: "listing_request",
}


#: The types of webhook that ask for a validation, and the kind that each is about (OpenAPI 37.0,
#: `ns.Webhook`): drafts and the answers to inquiries, of orders and of resellers' setups.
VALIDATION_TYPES: Final[Mapping[str, RequestKind]] = {
    **{
        f"{of}{'inquiring_' * is_inquired}validator": RequestKind.FULFILLMENT
        for of in ("", "change_", "renew_", "transfer_")
        for is_inquired in (False, True)
    },
    **{
        name.format(level): RequestKind.TIER_CONFIG
        for name in (
            "draft_tcr_t{}_val",
            "tcr_setup_t{}_inq_val",
            "tcr_update_t{}_validator",
            "tcr_update_t{}_inq_val",
        )
        for level in (1, 2)
    },
}


@dataclass(frozen=True, slots=True)
class ChangeHint:
    """That something may have changed in Connect: a request, or any of a kind."""

    kind: RequestKind
    #: "" for any of the kind.
    request_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.request_id}" if self.request_id else str(self.kind)

    @property
    def whole(self) -> ChangeHint:
        """The hint that any request of the kind may have changed."""
        return ChangeHint(self.kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` has written.

        Raises:
            ValueError: The text is not a hint.
        """
        kind, _, request_id = text.partition(":")
        if not is_hint(text):
            raise ValueError(f"{text[:80]!r} is not a change hint")
        return cls(RequestKind(kind), request_id)


class HintResult(StrEnum):
    """What the ledger did with a notification."""

    #: Added: a worker has to be notified.
    NEW = "new"
    #: The same hint is stored, and no worker has acted on it yet.
    KNOWN = "known"
    #: The same notification was received before.
    REPLAYED = "replayed"


def is_hint(text: object) -> bool:
    """Whether a text is a hint that a message may contain."""
    if not isinstance(text, str):
        return False
    kind, colon, request_id = text.partition(":")
    return kind in set(RequestKind) and (not colon or is_request_id(RequestKind(kind), request_id))


def find_id(kind: RequestKind, document: object) -> str:
    """Return the id of the request that a notification is about; "" when it names none.

    Connect does not document the bodies of its notifications. So an id is recognized by its form:
    first in a field `id`, then in any field of the document or one level below.
    """
    if not isinstance(document, dict):
        return ""
    inner = [value for value in document.values() if isinstance(value, dict)]
    own = [item.get("id") for item in (document, *inner)]
    other = [value for item in (document, *inner) for value in item.values()]
    for text in (*own, *other):
        if not isinstance(text, str) or len(text) > _MAX_URL_CHARACTERS:
            continue
        last = re.split(r"[/?#]", text.rstrip("/"))[-1]
        if is_request_id(kind, last):
            return last
    return ""


# ---- when usage is reported: Celery's `crontab`, read without Celery


#: Longer than from one 29 February to the next, at a turn of a century without one.
_MOST_DAYS = 8 * 366 + 1

#: The fields of a `crontab` that are read. Each is a set of numbers; Sunday is 0.
_CRONTAB_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class Crontab(Protocol):
    """`celery.schedules.crontab`, as far as its type is known."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Tell how long it is until the next time."""


def is_crontab(value: object) -> bool:
    """Whether a value is a `crontab`."""
    return all(isinstance(getattr(value, name, None), AbstractSet) for name in _CRONTAB_FIELDS)


def last_time(schedule: Crontab, now: float) -> float | None:
    """Return the last time of the schedule up to `now`, by UTC; both in seconds since the epoch.

    None when there was none within eight years: it is a day like 30 February.
    """
    minute, hour, *days_of = (getattr(schedule, name) for name in _CRONTAB_FIELDS)
    moment = datetime.fromtimestamp(now, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    # The times of a day; for today only those that have passed.
    minutes = sorted(60 * item + other for item in hour for other in minute)
    today = [item for item in minutes if item <= 60 * moment.hour + moment.minute]
    for days in range(_MOST_DAYS):
        day = midnight - timedelta(days=days)
        facts = day.isoweekday() % 7, day.day, day.month
        times = minutes if days else today
        if times and all(fact in numbers for fact, numbers in zip(facts, days_of, strict=True)):
            return (day + timedelta(minutes=times[-1])).timestamp()
    return None
