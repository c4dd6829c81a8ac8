"""Which texts can be the name of a request: all that a message may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from connect_worker.processing.states import Kind, Ref

_ID = r"-[A-Za-z0-9][A-Za-z0-9_-]{0,59}"

#: Connect's ids by their kind's letters; of a listing with its period, which a subclass may name.
_PATTERNS: Final[Mapping[Kind, re.Pattern[str]]] = {
    Kind.FULFILLMENT: re.compile(rf"PR{_ID}"),
    Kind.TIER_CONFIG: re.compile(rf"TCR{_ID}"),
    Kind.USAGE_FILE: re.compile(rf"UF{_ID}"),
    Kind.USAGE: re.compile(rf"LST{_ID}@[\w .:/+-]{{1,64}}"),
}

#: A request's own id in Connect, where a listing has no period.
_LISTING: Final = re.compile(rf"LST{_ID}")


def is_request_id(kind: Kind, text: object) -> bool:
    """Whether a text can be the id of a request of the kind in Connect."""
    pattern = _LISTING if kind is Kind.USAGE else _PATTERNS[kind]
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def is_name(kind: Kind, text: object) -> bool:
    """Whether a text can name a request of the kind in the ledger, in a path and in a message."""
    return isinstance(text, str) and _PATTERNS[kind].fullmatch(text) is not None


def is_nameable(ref: Ref) -> bool:
    """Whether a message about the request would be taken."""
    return is_name(ref.kind, ref.id)
