"""Which ids a list has had, in less room than the ids themselves take."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final, TypeVar

_DIGIT: Final = re.compile("[0-9]")
_OTHERS: Final = re.compile("[^0-9]+")

#: Ids of Connect are shorter; what is longer is kept as it is.
_LONGEST: Final = 64

Member = TypeVar("Member")


class Names:
    """A set of ids that only grows.

    Ids of one collection differ in their digits: `PR-5852-1608-0000` is kept as the number
    585216080000 under the shape `PR-0000-0000-0000`, which it has in common with the others.
    """

    def __init__(self) -> None:
        self._numbers: defaultdict[str, set[int]] = defaultdict(set)
        self._others: set[str] = set()

    def add(self, name: str) -> bool:
        """Remember an id; False when it was there already."""
        digits = _OTHERS.sub("", name)
        if not digits or len(name) > _LONGEST:
            return _added(self._others, name)
        return _added(self._numbers[_DIGIT.sub("0", name)], int(digits))

    def copy(self) -> Names:
        """Return another one with the same ids."""
        other = Names()
        other._numbers.update((shape, set(numbers)) for shape, numbers in self._numbers.items())
        other._others.update(self._others)
        return other


def _added(members: set[Member], member: Member) -> bool:
    before = len(members)
    members.add(member)
    return len(members) > before
