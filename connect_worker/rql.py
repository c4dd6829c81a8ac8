"""Filters put together step by step, as the later releases of the SDK have them.

The values are written as those of any filter are (`connect_worker.api.rql`): quoted where RQL wants
it, so that a space, a comma or a bracket in a value is part of the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self

from connect_worker.api.rql import to_term

#: The operators with one term per property, in the order in which a query names them.
_ONCE: Final = ("like", "ilike", "in", "out")
#: The two values without a text.
_NOTHING: Final = ("null()", "empty()")


class Query:
    """Filters, an ordering and a page in RQL; each method returns the query itself.

    It may stand wherever filters are taken, and an automation's `filters` may return it::

        Query().equal("status", "pending").in_("asset.product.id", ["PRD-1", "PRD-2"])

    A copy (`copy.copy`) can be added to without changing the original.

    Args:
        properties: Filters to begin with, in any spelling that a mapping of filters may have. Of
            the words `select`, `ordering`, `order_by`, `limit` and `offset`, and of `like`,
            `ilike`, `in` and `out` with a mapping, the value is what the method of that name takes.

    Raises:
        ValueError: As each method does, when RQL has no form for what is asked: an empty list, or a
            value with both kinds of quotation marks.

    Examples:
        >>> str(Query().in_("status", ["pending", "approved"]).limit(10))
        '?in(status,(pending,approved))&limit=10'
    """

    def __init__(self, properties: Mapping[str, object] | None = None) -> None:
        # Replaced and never changed in place, so that a copy is apart from its original.
        self._once: dict[tuple[str, str], str] = {}
        self._terms: tuple[str, ...] = ()
        self._words: dict[str, str] = {}
        for name, value in (properties or {}).items():
            if value is not None:
                self._begin_with(name, value)

    def equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is the value; None asks for those without one."""
        return self._compare("eq", prop, value)

    def not_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is not the value."""
        return self._compare("ne", prop, value)

    def greater(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is greater."""
        return self._compare("gt", prop, value)

    def greater_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is greater or equal."""
        return self._compare("ge", prop, value)

    def lesser(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is less."""
        return self._compare("lt", prop, value)

    def lesser_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is less or equal."""
        return self._compare("le", prop, value)

    def in_(self, prop: str, values: Sequence[object]) -> Self:
        """Ask for objects whose property is one of the values; the last call for it counts."""
        return self._set_once("in", prop, values)

    def out(self, prop: str, values: Sequence[object]) -> Self:
        """Ask for objects whose property is none of the values; the last call for it counts."""
        return self._set_once("out", prop, values)

    def like(self, prop: str, pattern: str) -> Self:
        """Ask for objects whose property is like the pattern; the last call for it counts.

        Args:
            prop: The property.
            pattern: A text in which ``*`` stands for any text and ``%2A`` for a star.
        """
        return self._set_once("like", prop, _starred(pattern))

    def ilike(self, prop: str, pattern: str) -> Self:
        """Do as `like`, without regard to capitals."""
        return self._set_once("ilike", prop, _starred(pattern))

    def select(self, attributes: Sequence[str]) -> Self:
        """Ask for these attributes and related objects only."""
        return self._say("select", f"select({','.join(attributes)})")

    def ordering(self, props: str | Sequence[str]) -> Self:
        """Order by these properties, the first one first; ``-`` before one means descending."""
        return self._say("ordering", to_term("ordering", props))

    def order_by(self, prop: str) -> Self:
        """Order by one property, after those of `ordering`."""
        return self._say("order_by", to_term("ordering", prop))

    def limit(self, amount: int) -> Self:
        """Set the size of a page. Lists have all pages nevertheless."""
        return self._say("limit", f"limit={int(amount)}")

    def offset(self, page: int) -> Self:
        """Set where a page begins. Lists, which have all pages, take no notice of it."""
        return self._say("offset", f"offset={int(page)}")

    def asks_for(self, prop: str) -> bool:
        """Whether a filter is about this property."""
        texts = (*self._once.values(), *self._terms)
        return any(text.partition("(")[2].startswith(f"{prop},") for text in texts)

    def compile(self) -> str:
        """Return the query string with a question mark before it; "" when nothing is asked."""
        once = sorted(self._once, key=lambda key: _ONCE.index(key[0]))
        terms = [*(self._once[key] for key in once), *self._terms]
        words = ("ordering", "limit", "order_by", "offset")
        parts = [
            *(self._words[word] for word in ("select",) if word in self._words),
            *terms,
            *(self._words[word] for word in words if word in self._words),
        ]
        return f"?{'&'.join(parts)}" if parts else ""

    def __str__(self) -> str:
        return self.compile()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.compile()}>"

    def _begin_with(self, name: str, value: object) -> None:
        if name in ("select", "ordering", "order_by", "limit", "offset"):
            getattr(self, name)(value)
        elif name in _ONCE and isinstance(value, Mapping):
            for prop, argument in value.items():
                getattr(self, "in_" if name == "in" else name)(prop, argument)
        else:
            self._terms = (*self._terms, to_term(name, value))

    def _compare(self, operator: str, prop: str, value: object) -> Self:
        text = "null()" if value is None else value
        is_nothing = isinstance(text, str) and text in _NOTHING
        term = f"{operator}({prop},{text})" if is_nothing else to_term(f"{prop}__{operator}", value)
        self._terms = (*self._terms, term)
        return self

    def _set_once(self, operator: str, prop: str, value: object) -> Self:
        self._once = {**self._once, (operator, prop): to_term(f"{prop}__{operator}", value)}
        return self

    def _say(self, word: str, text: str) -> Self:
        self._words = {**self._words, word: text}
        return self


def _starred(pattern: str) -> str:
    """Write a star that means itself as our terms do; the SDK's users had to encode it."""
    return pattern.replace("%2A", r"\*").replace("%2a", r"\*")
