"""Which automation processes which request: by kind and product."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from connect_worker.domain.states import (
    NO_LIMITS,
    OWN_QUEUE,
    Limit,
    Limits,
    RequestKind,
    Route,
    Routes,
)
from connect_worker.exceptions import RegistrationError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registration(Generic[T]):
    """One automation and the requests that it is for."""

    kind: RequestKind
    #: The ids of its products; None for all that no other automation names.
    products: frozenset[str] | None
    #: Its import path, such as `my_vendor.orders.Purchases`.
    name: str
    automation: T
    #: How many of its requests may be in its processor at once; None for no limit.
    max_concurrency: int | None = None
    #: The queue and priority of messages about its requests.
    route: Route = OWN_QUEUE

    @property
    def limit(self) -> Limit | None:
        """Its limit, under its name."""
        return Limit(self.name, self.max_concurrency) if self.max_concurrency else None


class Registry(Generic[T]):
    """The automations of one worker; immutable."""

    def __init__(self, registrations: Iterable[Registration[T]]) -> None:
        """Add the registrations.

        Raises:
            RegistrationError: Two are for the same kind and product; names both.
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
        """The routes by kind and product, of the kinds with a route to another queue."""
        kinds = {entry.kind for entry in self._all if entry.route != OWN_QUEUE}
        return {
            (kind, product or ""): entry.route
            for (kind, product), entry in self._by_product.items()
            if kind in kinds
        }

    def require_queues(self, known: Collection[str]) -> None:
        """Return if the deployment has each queue that an automation names.

        Raises:
            RegistrationError: A queue is missing: its messages would be lost.
        """
        for entry in self._all:
            if entry.route.queue and entry.route.queue not in known:
                raise RegistrationError(
                    f"{entry.name} has queue = {entry.route.queue!r}, which is not in "
                    "CONNECT_QUEUES: add it there, for all workers, beat and the exporter"
                )

    def find(self, kind: RequestKind, product: str) -> T | None:
        """Return the automation for a request; one that names the product takes precedence."""
        registration = self._by_product.get((kind, product)) or self._by_product.get((kind, None))
        return registration.automation if registration else None

    def limits(self, kind: RequestKind) -> Limits:
        """Return the concurrency limits of a kind's requests."""
        return self._limits.get(kind, NO_LIMITS)

    def of_kind(self, kind: RequestKind) -> list[T]:
        """Return the automations of a kind, in the order of their registration."""
        return [entry.automation for entry in self._all if entry.kind is kind]

    @property
    def registrations(self) -> list[Registration[T]]:
        """All of them, in order."""
        return list(self._all)

    @property
    def products(self) -> list[str]:
        """The products that automations name, sorted."""
        return sorted({product for entry in self._all for product in entry.products or ()})

    @property
    def coverage(self) -> Mapping[RequestKind, list[str]]:
        """The automations' names by kind."""
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
