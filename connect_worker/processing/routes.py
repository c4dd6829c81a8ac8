"""Where messages about an automation's requests wait: in which queue, behind which others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from connect_worker.processing.states import Kind

#: Redis has so many; 0 is taken first.
PRIORITIES: Final = range(10)


@dataclass(frozen=True, slots=True)
class Route:
    """A queue, and a priority in it."""

    #: "" for the kind's own queue.
    queue: str = ""
    priority: int = 0


OWN_QUEUE: Final = Route()

#: Routes by kind and product; "" stands for all other products of the kind. A kind is there when
#: one of its automations has a route, and then with each product that an automation names.
Routes = Mapping[tuple[Kind, str], Route]

NO_ROUTES: Final[Routes] = MappingProxyType({})


def route_for(routes: Routes, kind: Kind, product: str) -> Route:
    """Return the route of a product's requests."""
    return routes.get((kind, product)) or routes.get((kind, "")) or OWN_QUEUE


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of whose requests messages wait that no worker has taken yet."""

    #: The kinds, products that have an entry of their own aside.
    kinds: Collection[Kind] = ()
    #: By kind and product, where the queue is not that of the kind's other products.
    products: Mapping[tuple[Kind, str], bool] = field(default_factory=dict)

    def holds(self, kind: Kind, product: str) -> bool:
        """Whether messages about such a request may wait."""
        return self.products.get((kind, product), kind in self.kinds)

    def __bool__(self) -> bool:
        return bool(self.kinds) or any(self.products.values())


NO_BACKLOG: Final = Backlog()
