"""Notices: that Connect has something new, said by a notification; which request, or only a kind.

A notice is a wake-up call and nothing else: whoever follows it asks Connect what there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from connect_worker.domain.kinds import is_request_id
from connect_worker.domain.states import RequestKind

#: What Connect calls the objects of each kind in its notifications (OpenAPI 37.0, `ns.Webhook`).
OBJECT_CLASSES: Final[Mapping[RequestKind, str]] = {
    RequestKind.FULFILLMENT: "fulfillment_request",
    RequestKind.TIER_CONFIG: "tier_config_request",
    RequestKind.USAGE_FILE: "usage_file",
    # A request to list a product somewhere; the listing that it leads to is what has usage.
    RequestKind.USAGE: "listing_request",
}


@dataclass(frozen=True, slots=True)
class ChangeHint:
    """What may have changed in Connect."""

    kind: RequestKind
    #: "" for any of the kind.
    request_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.request_id}" if self.request_id else str(self.kind)

    @property
    def whole(self) -> ChangeHint:
        """The notice that any of the kind may have changed."""
        return ChangeHint(self.kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` has written.

        Raises:
            ValueError: It is no notice.
        """
        kind, _, request_id = text.partition(":")
        if not is_hint(text):
            raise ValueError(f"{text[:80]!r} is no notice")
        return cls(RequestKind(kind), request_id)


class HintResult(StrEnum):
    """What became of a notification."""

    #: Noted down: a worker has to be told.
    NEW = "new"
    #: Another one, which nobody has followed yet, has said so already.
    KNOWN = "known"
    #: The same notification came before.
    REPLAYED = "replayed"


def is_hint(text: object) -> bool:
    """Whether a text is one that a message about a notice may say."""
    if not isinstance(text, str):
        return False
    kind, colon, request_id = text.partition(":")
    return kind in set(RequestKind) and (not colon or is_request_id(RequestKind(kind), request_id))


def find_id(kind: RequestKind, document: object) -> str:
    """Return the id of the request that a notification is about; "" when it names none.

    Connect does not document the bodies of its notifications. So an id is known by its form,
    first where documents have their own (`id`), then anywhere in the document or one level below.
    """
    if not isinstance(document, dict):
        return ""
    inner = [value for value in document.values() if isinstance(value, dict)]
    own = [item.get("id") for item in (document, *inner)]
    other = [value for item in (document, *inner) for value in item.values()]
    for text in (*own, *other):
        if not isinstance(text, str) or len(text) > _LONGEST:
            continue
        last = re.split(r"[/?#]", text.rstrip("/"))[-1]
        if is_request_id(kind, last):
            return last
    return ""


#: A URL whose end is an id may be so long.
_LONGEST: Final = 1000
