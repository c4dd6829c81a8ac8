"""What the sandbox remembers during one run: options, journal, vendor's system, objects."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from connect_worker.sandbox.collection import Collection
from connect_worker.sandbox.documents import Clock, tenant_id, with_microseconds
from connect_worker.sandbox.faults import Faults
from connect_worker.sandbox.fulfillment import Asset, Conversation, FulfillmentRequest
from connect_worker.sandbox.http import Json, NotFoundError
from connect_worker.sandbox.products import Catalog
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest
from connect_worker.sandbox.usage import Listing, UsageFile
from connect_worker.sandbox.webhook import Post, Webhooks

DEFAULT_API_KEY = "SU-000-000-001:sandbox-vendor-key"


@dataclass(frozen=True)
class Spread:
    """How many requests of each kind are seeded."""

    fulfillment: int
    tier_config: int
    usage_files: int
    listings: int


@dataclass(frozen=True)
class Options:
    """The options of one run."""

    spread: Spread
    seed: int = 1
    product_count: int = 3
    api_key: str = DEFAULT_API_KEY
    #: a second key that may create requests as the provider does; None: there is none
    provider_key: str | None = None
    #: added to every response
    latency_seconds: float = 0.0
    #: the customer answers an inquiry after this time; None: only when a test says so
    answer_inquiries_seconds: float | None = None
    #: the status of an accepted upload of usage records; Connect has sent both 200 and 201
    upload_status: int = 201
    #: the API is that of 2019, and not that of the description (version 37.0)
    is_of_2019: bool = False


def spread_over(
    total: int,
    *,
    fulfillment: int | None = None,
    tier_config: int | None = None,
    usage_files: int | None = None,
    listings: int | None = None,
) -> Spread:
    """Share a total among the kinds: about 60, 15, 15 and 10 of a hundred.

    Each kind gets at least one when the total is four or more. A number for one kind counts
    whatever the total is.
    """
    smaller = [total * share // 100 for share in (15, 15, 10)]
    if total >= 4:
        smaller = [max(1, count) for count in smaller]
    rest = total - sum(smaller)
    return Spread(
        fulfillment=rest if fulfillment is None else fulfillment,
        tier_config=smaller[0] if tier_config is None else tier_config,
        usage_files=smaller[1] if usage_files is None else usage_files,
        listings=smaller[2] if listings is None else listings,
    )


@dataclass(frozen=True)
class Tenant:
    """One tenant: the effect that must happen once."""

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
    """The vendor's own provisioning system: its tenants, and how often each key asked for one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._by_key: dict[str, Tenant] = {}
        self._by_request: dict[str, list[Tenant]] = {}
        self.calls_by_key: Counter[str] = Counter()
        self.calls_by_request: Counter[str] = Counter()
        self.calls_without_key = 0

    def create(self, order: Json, key: str | None) -> tuple[Tenant, bool]:
        """Create a tenant, or return the one of the same key; the flag is True for a new one.

        Without a key every call creates one.
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

    def get(self, name: str) -> Tenant:
        """The tenant with this id.

        Raises:
            NotFoundError: There is none.
        """
        try:
            return self._tenants[name]
        except KeyError:
            raise NotFoundError(f"tenant {name}") from None

    def tenants(self) -> list[Tenant]:
        """All tenants, oldest first."""
        return list(self._tenants.values())

    def of_request(self, request_id: str) -> list[Tenant]:
        """The tenants that were made for a request."""
        return self._by_request.get(request_id, [])

    def _store(self, order: Json, key: str | None) -> Tenant:
        request_id = order.get("request_id")
        tenant = Tenant(
            id=tenant_id(len(self._tenants)),
            created=with_microseconds(self._clock()),
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


#: How many of the latest calls are kept one by one.
RECENT_CALLS = 20_000


@dataclass(slots=True)
class JournalEntry:
    """What happened to one request."""

    #: outcomes that changed its status: action, at, idempotency_key, body
    accepted: list[Json] = field(default_factory=list)
    #: posts and puts that were refused: action, status, error, at
    refused: list[Json] = field(default_factory=list)
    #: calls that named it, by HTTP method
    calls: Counter[str] = field(default_factory=Counter)
    #: texts posted to its conversation
    messages: list[Json] = field(default_factory=list)
    #: values put to its parameters
    params: list[Json] = field(default_factory=list)
    #: what else happened to it: answered, decided; created, uploaded (usage files)
    events: list[Json] = field(default_factory=list)
    #: usage files created for it (listings only)
    usage_files: list[str] = field(default_factory=list)


class Journal:
    """What clients did to each request, and totals over all calls."""

    def __init__(self) -> None:
        self._entries: dict[str, JournalEntry] = {}
        #: accepted outcomes by (kind, action), refused posts and puts by kind
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.routes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        #: the latest calls, oldest first: at, route, status (0: no response)
        self.recent: deque[Json] = deque(maxlen=RECENT_CALLS)

    def entry(self, request_id: str) -> JournalEntry:
        """The entry of a request, created at its first use."""
        return self._entries.setdefault(request_id, JournalEntry())

    def read(self, request_id: str) -> JournalEntry:
        """The entry of a request, or an empty one that is not stored."""
        return self._entries.get(request_id) or JournalEntry()

    def count_call(self, route: str, status: int, at: str) -> None:
        """Count a call and its status."""
        self.routes[route] += 1
        self.statuses[status] += 1
        self.recent.append({"at": at, "route": route, "status": status})

    def accept(self, kind: str, request_id: str, outcome: Json) -> None:
        """Add an outcome that changed the status of a request."""
        self.entry(request_id).accepted.append(outcome)
        self.accepted[kind, outcome["action"]] += 1

    def refuse(self, kind: str, request_id: str, post: Json) -> None:
        """Add a POST or PUT that was refused."""
        self.entry(request_id).refused.append(post)
        self.refused[kind] += 1


ConnectRequest = FulfillmentRequest | TierConfigRequest | UsageFile | Listing

#: Calls a function after a number of seconds.
CallLater = Callable[[float, Callable[[], None]], object]

#: The kinds of work, by the prefix of their ids.
KINDS = {"PR": "fulfillment", "TCR": "tier-config", "UF": "usage-file", "LST": "usage"}


def kind_of(request_id: str) -> str | None:
    """The kind of work that an id names, or None for anything else."""
    return KINDS.get(request_id.partition("-")[0])


@dataclass
class SandboxState:
    """The state of one run, in memory only."""

    options: Options
    catalog: Catalog
    clock: Clock
    call_later: CallLater
    #: the first moment of seeded time
    origin: datetime
    #: sends the notifications
    post: Post
    #: replaces this state by a freshly seeded one
    reset: Callable[[], None]
    requests: Collection[FulfillmentRequest] = field(
        default_factory=lambda: Collection("request", "asset.product.id")
    )
    assets: Collection[Asset] = field(
        default_factory=lambda: Collection("asset", "product.id", "events.created.at")
    )
    tier_configs: Collection[TierConfig] = field(
        default_factory=lambda: Collection("tier config", "product.id")
    )
    tier_requests: Collection[TierConfigRequest] = field(
        default_factory=lambda: Collection("tier config request", "configuration.product.id")
    )
    usage_files: Collection[UsageFile] = field(
        default_factory=lambda: Collection("usage file", "product.id", "events.created.at")
    )
    listings: Collection[Listing] = field(
        default_factory=lambda: Collection("listing", "product.id")
    )
    conversations: Collection[Conversation] = field(
        default_factory=lambda: Collection("conversation", "product.id")
    )
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=Faults)
    vendor: VendorSystem = field(init=False)
    webhooks: Webhooks = field(init=False)
    #: id -> the status it was seeded or created with
    initial_status: dict[str, str] = field(default_factory=dict)
    message_count: int = 0

    def __post_init__(self) -> None:
        self.vendor = VendorSystem(self.clock)
        self.webhooks = Webhooks(self.clock, self.call_later, self.post)

    def collections(self) -> dict[str, Collection[ConnectRequest]]:
        """The four kinds of work by name."""
        held = (self.requests, self.tier_requests, self.usage_files, self.listings)
        return dict(zip(KINDS.values(), held, strict=True))  # type: ignore[arg-type]  # invariant

    def find(self, request_id: str) -> ConnectRequest:
        """The request of any kind with this id.

        Raises:
            NotFoundError: There is none.
        """
        kind = kind_of(request_id)
        if kind is None:
            raise NotFoundError(request_id)
        return self.collections()[kind].get(request_id)

    def set_status(self, record: ConnectRequest, status: str) -> None:
        """Give a request a new status, keep the index of its collection right, notify webhooks."""
        collection = self.collections()[record.kind]
        collection.remove_from_index(record)
        record.status = status
        collection.add_to_index(record)
        self.webhooks.announce(record)

    def set_asset_status(self, record: FulfillmentRequest, status: str) -> None:
        """Give a request's asset a new status."""
        asset = self.assets.get(record.asset_id)
        self.assets.remove_from_index(asset)
        record.asset_status = status
        self.assets.add_to_index(asset)

    def set_config_status(self, record: TierConfigRequest, status: str) -> None:
        """Give a request's tier configuration a new status."""
        config = self.tier_configs.get(record.config_id)
        self.tier_configs.remove_from_index(config)
        record.config_status = status
        self.tier_configs.add_to_index(config)
