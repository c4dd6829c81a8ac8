"""How many requests of an automation may be inside its processor at once, over all workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of slots that the requests of one automation share."""

    #: The automation's registered name.
    name: str
    most: int


#: The limits of a kind by product, None for a product without one; "" stands for all others.
Limits = Mapping[str, Limit | None]

NO_LIMITS: Limits = MappingProxyType({})


def limit_for(limits: Limits, product: str) -> Limit | None:
    """Return the limit of a product's requests, if they have one."""
    return limits[product] if product in limits else limits.get("")
