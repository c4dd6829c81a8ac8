"""Everything the sandbox remembers during one run."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connect_worker.sandbox.catalog import Catalog
from connect_worker.sandbox.collection import Collection
from connect_worker.sandbox.conversations import Conversation
from connect_worker.sandbox.errors import NotFoundError
from connect_worker.sandbox.faults import Faults, Options
from connect_worker.sandbox.fulfillment import Asset, FulfillmentRequest
from connect_worker.sandbox.simulation import Clock
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest
from connect_worker.sandbox.usage import Listing, UsageFile
from connect_worker.sandbox.vendor import VendorSystem
from connect_worker.sandbox.webhooks import Post, Webhooks

# Remembers what clients did to each request, for the report.

Json = dict[str, Any]

#: So many of the latest calls are remembered one by one.
RECENT_CALLS = 20_000


@dataclass(slots=True)
class Entry:
    """What happened to one request."""

    #: outcomes that changed its status: action, at, idempotency_key, body
    accepted: list[Json] = field(default_factory=list)
    #: posts and puts that were answered with an error: action, status, error, at
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
    """Entries by request, and totals over all calls."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        #: accepted outcomes by (kind, action), refused posts and puts by kind
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.routes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        #: the latest calls, oldest first: at, route, status (0: no answer)
        self.recent: deque[Json] = deque(maxlen=RECENT_CALLS)

    def entry(self, request_id: str) -> Entry:
        """The entry of a request, made at its first use."""
        return self._entries.setdefault(request_id, Entry())

    def seen(self, request_id: str) -> Entry:
        """The entry of a request, or an empty one that is not kept."""
        return self._entries.get(request_id) or Entry()

    def call(self, route: str, status: int, at: str) -> None:
        """Note a call and what it was answered with."""
        self.routes[route] += 1
        self.statuses[status] += 1
        self.recent.append({"at": at, "route": route, "status": status})

    def accept(self, kind: str, request_id: str, outcome: Json) -> None:
        """Note an outcome that changed a request's status."""
        self.entry(request_id).accepted.append(outcome)
        self.accepted[kind, outcome["action"]] += 1

    def refuse(self, kind: str, request_id: str, post: Json) -> None:
        """Note a post or put that was answered with an error."""
        self.entry(request_id).refused.append(post)
        self.refused[kind] += 1


Request = FulfillmentRequest | TierConfigRequest | UsageFile | Listing

#: Runs a function after so many seconds.
Later = Callable[[float, Callable[[], None]], object]

#: The kinds of work, by the prefix of their ids.
KINDS = {"PR": "fulfillment", "TCR": "tier-config", "UF": "usage-file", "LST": "usage"}


def kind_of(request_id: str) -> str | None:
    """The kind of work that an id names, or None for anything else."""
    return KINDS.get(request_id.partition("-")[0])


@dataclass
class World:
    """The state of a run; nothing of it outlives the process."""

    options: Options
    catalog: Catalog
    clock: Clock
    later: Later
    #: the first moment of seeded time
    origin: datetime
    #: sends the notifications
    post: Post
    #: puts a freshly seeded world in the place of this one
    restart: Callable[[], None]
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
        self.webhooks = Webhooks(self.clock, self.later, self.post)

    def collections(self) -> dict[str, Collection[Request]]:
        """The four kinds of work by name."""
        held = (self.requests, self.tier_requests, self.usage_files, self.listings)
        return dict(zip(KINDS.values(), held, strict=True))  # type: ignore[arg-type]  # invariant

    def find(self, request_id: str) -> Request:
        """The request of any kind with this id.

        Raises:
            NotFoundError: there is none.
        """
        kind = kind_of(request_id)
        if kind is None:
            raise NotFoundError(request_id)
        return self.collections()[kind].get(request_id)

    def settle(self, record: Request, status: str) -> None:
        """Give a request a new status and keep its collection's index right."""
        collection = self.collections()[record.kind]
        collection.leave_bucket(record)
        record.status = status
        collection.enter_bucket(record)
        self.webhooks.announce(record)

    def settle_asset(self, record: FulfillmentRequest, status: str) -> None:
        """Give a request's asset a new status."""
        asset = self.assets.get(record.asset_id)
        self.assets.leave_bucket(asset)
        record.asset_status = status
        self.assets.enter_bucket(asset)

    def settle_config(self, record: TierConfigRequest, status: str) -> None:
        """Give a request's tier configuration a new status."""
        config = self.tier_configs.get(record.config_id)
        self.tier_configs.leave_bucket(config)
        record.config_status = status
        self.tier_configs.enter_bucket(config)
