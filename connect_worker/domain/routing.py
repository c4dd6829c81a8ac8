"""Which automation handles which request: by kind and product."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError

# How many requests of an automation may be inside its processor at once, over all workers.


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of slots that the requests of one automation share."""

    #: The automation's registered name.
    name: str
    max_concurrent: int


#: The limits of a kind by product, None for a product without one; "" stands for all others.
Limits = Mapping[str, Limit | None]

NO_LIMITS: Limits = MappingProxyType({})


def limit_for(limits: Limits, product: str) -> Limit | None:
    """Return the limit of a product's requests, if they have one."""
    return limits[product] if product in limits else limits.get("")


# Where messages about an automation's requests wait: in which queue, behind which others.

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
Routes = Mapping[tuple[RequestKind, str], Route]

NO_ROUTES: Final[Routes] = MappingProxyType({})


def route_for(routes: Routes, kind: RequestKind, product: str) -> Route:
    """Return the route of a product's requests."""
    return routes.get((kind, product)) or routes.get((kind, "")) or OWN_QUEUE


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of whose requests messages wait that no worker has taken yet."""

    #: The kinds, products that have an entry of their own aside.
    kinds: Collection[RequestKind] = ()
    #: By kind and product, where the queue is not that of the kind's other products.
    products: Mapping[tuple[RequestKind, str], bool] = field(default_factory=dict)

    def holds(self, kind: RequestKind, product: str) -> bool:
        """Whether messages about such a request may wait."""
        return self.products.get((kind, product), kind in self.kinds)

    def __bool__(self) -> bool:
        return bool(self.kinds) or any(self.products.values())


NO_BACKLOG: Final = Backlog()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registration(Generic[T]):
    """One automation and what it claims."""

    kind: RequestKind
    #: The ids of its products; None for all that no other automation names.
    products: frozenset[str] | None
    #: Where it was found, such as `my_vendor.orders.Purchases`.
    name: str
    automation: T
    #: How many of its requests may be inside its processor at once; None for any number.
    max_concurrency: int | None = None
    #: Where messages about its requests wait.
    route: Route = OWN_QUEUE

    @property
    def limit(self) -> Limit | None:
        """Its limit, under its name."""
        return Limit(self.name, self.max_concurrency) if self.max_concurrency else None


class Registry(Generic[T]):
    """The automations of one worker; fixed once made."""

    def __init__(self, registrations: Iterable[Registration[T]]) -> None:
        """Take the registrations.

        Raises:
            RegistrationError: When two claim the same kind and product; names both.
        """
        self._by_product: dict[tuple[RequestKind, str | None], Registration[T]] = {}
        self._all: list[Registration[T]] = []
        for registration in registrations:
            self._add(registration)
        self._limits = {
            kind: {
                product or "": entry.limit
                for (of, product), entry in self._by_product.items()
                if of is kind
            }
            for kind in {entry.kind for entry in self._all if entry.limit}
        }

    @property
    def routes(self) -> Routes:
        """The routes by kind and product, of the kinds that have one beside their own queue."""
        kinds = {entry.kind for entry in self._all if entry.route != OWN_QUEUE}
        return {
            (kind, product or ""): entry.route
            for (kind, product), entry in self._by_product.items()
            if kind in kinds
        }

    def require_queues(self, known: Collection[str]) -> None:
        """Return if there is each queue that an automation names.

        Raises:
            RegistrationError: Messages for one would be lost.
        """
        for entry in self._all:
            if entry.route.queue and entry.route.queue not in known:
                raise RegistrationError(
                    f"{entry.name} has queue = {entry.route.queue!r}, which CONNECT_QUEUES does "
                    "not name: name it there, for all workers, beat and the exporter"
                )

    def find(self, kind: RequestKind, product: str) -> T | None:
        """Return the automation for a request; one that names the product comes first."""
        found = self._by_product.get((kind, product)) or self._by_product.get((kind, None))
        return found.automation if found else None

    def limits(self, kind: RequestKind) -> Limits:
        """Return the limits of a kind's requests; none at all when no automation has one."""
        return self._limits.get(kind, NO_LIMITS)

    def of_kind(self, kind: RequestKind) -> list[T]:
        """Return the automations of a kind, in the order in which they were registered."""
        return [entry.automation for entry in self._all if entry.kind is kind]

    @property
    def registrations(self) -> list[Registration[T]]:
        """All of them, in order."""
        return list(self._all)

    @property
    def products(self) -> list[str]:
        """The products that automations name, each once."""
        return sorted({product for entry in self._all for product in entry.products or ()})

    @property
    def coverage(self) -> Mapping[RequestKind, list[str]]:
        """The automations' names by kind, for people."""
        return {kind: [e.name for e in self._all if e.kind is kind] for kind in RequestKind}

    def _add(self, registration: Registration[T]) -> None:
        products: Iterable[str | None] = registration.products or (None,)
        for product in products:
            slot = (registration.kind, product)
            other = self._by_product.setdefault(slot, registration)
            if other is not registration:
                what = f"product {product}" if product else "all products"
                raise RegistrationError(
                    f"{other.name} and {registration.name} both claim {registration.kind} "
                    f"requests of {what}: keep one, or give each its own `products`"
                )
        self._all.append(registration)
