"""The vendor's own provisioning system: creating a tenant is the effect that must happen once."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from connect_worker.sandbox import identifiers
from connect_worker.sandbox.errors import NotFoundError
from connect_worker.sandbox.simulation import Clock, exact

Json = dict[str, Any]


@dataclass(frozen=True)
class Tenant:
    """One effect."""

    id: str
    created: str
    idempotency_key: str | None
    request_id: str | None
    order: Json

    def body(self) -> Json:
        """As the vendor's API shows it."""
        return {
            "id": self.id,
            "created": self.created,
            "idempotency_key": self.idempotency_key,
            "request_id": self.request_id,
            "order": self.order,
        }


class VendorSystem:
    """Tenants, and how often each key asked for one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._by_key: dict[str, Tenant] = {}
        self._by_request: dict[str, list[Tenant]] = {}
        self.calls_by_key: Counter[str] = Counter()
        self.calls_by_request: Counter[str] = Counter()
        self.calls_without_key = 0

    def create(self, order: Json, key: str | None) -> tuple[Tenant, bool]:
        """Make a tenant, or find the one that the same key made; the flag says which (True: new).

        Without a key every call has an effect.
        """
        request_id = order.get("request_id")
        if isinstance(request_id, str):
            self.calls_by_request[request_id] += 1
        if key:
            self.calls_by_key[key] += 1
            if key in self._by_key:
                return self._by_key[key], False
        else:
            self.calls_without_key += 1
        return self._store(order, key), True

    def get(self, tenant_id: str) -> Tenant:
        """The tenant with this id.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self._tenants[tenant_id]
        except KeyError:
            raise NotFoundError(f"tenant {tenant_id}") from None

    def tenants(self) -> list[Tenant]:
        """All tenants, oldest first."""
        return list(self._tenants.values())

    def of_request(self, request_id: str) -> list[Tenant]:
        """The tenants that were made for a request."""
        return self._by_request.get(request_id, [])

    def _store(self, order: Json, key: str | None) -> Tenant:
        request_id = order.get("request_id")
        tenant = Tenant(
            id=identifiers.tenant_id(len(self._tenants)),
            created=exact(self._clock()),
            idempotency_key=key,
            request_id=request_id if isinstance(request_id, str) else None,
            order=order,
        )
        self._tenants[tenant.id] = tenant
        if key:
            self._by_key[key] = tenant
        if tenant.request_id:
            self._by_request.setdefault(tenant.request_id, []).append(tenant)
        return tenant
