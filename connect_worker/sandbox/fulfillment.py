"""Fulfillment requests, their assets and their conversations.

Only what can differ from the seed is stored. Each read builds the document again, so that a
hundred thousand requests fit in memory.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from connect_worker.sandbox import documents
from connect_worker.sandbox.documents import (
    Json,
    SeededRandom,
    change_params,
    merge,
    values_at,
    whole_seconds,
    with_microseconds,
)
from connect_worker.sandbox.products import (
    CUSTOMER_USER,
    ITEMS,
    PORTAL_USER,
    PROVIDER,
    VENDOR,
    Item,
    Product,
    tier_account,
)

#: Above this quantity the documentation's example refuses a purchase.
ABSURD_QUANTITY = 100_000


@dataclass(slots=True)
class FulfillmentRequest:
    """One ``PR-…`` with its ``AS-…``."""

    kind: ClassVar[str] = "fulfillment"

    number: int
    seed: int
    product: Product
    reseller: int
    #: purchase, change, suspend, resume or cancel
    type: str
    #: why it was seeded; see ``seeding``
    scenario: str
    created: datetime
    updated: datetime
    status: str = "pending"
    asset_status: str = "processing"
    #: parameter id -> the fields that were put over the seeded ones
    params: dict[str, Json] = field(default_factory=dict)
    #: top-level fields that actions set: reason, template, activation_key, …
    shown: Json = field(default_factory=dict)
    #: what the creator of the request sent, merged into the generated document
    overlay: Json | None = None
    sequence: int = -1
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            occurrence = 1 if self.type == "purchase" else 2
            self.id = documents.fulfillment_id(self.number, occurrence)

    @property
    def product_id(self) -> str:
        """The product that is ordered."""
        return self.product.id

    @property
    def asset_id(self) -> str:
        """The asset that the request is about."""
        return documents.asset_id(self.number)

    def lookup_values(self) -> dict[str, str]:
        """The index by which the requests of an asset are found."""
        return {"asset.id": self.asset_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name; those that a poll needs, without building the document."""
        match name:
            case "id":
                return [self.id]
            case "status":
                return [self.status]
            case "type":
                return [self.type]
            case "asset.product.id":
                return [self.product.id]
            case "created":
                return [with_microseconds(self.created)]
            case "updated":
                return [with_microseconds(self.updated)]
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As ``requests/{id}`` shows it."""
        rng = SeededRandom(self.seed, "fulfillment", self.number)
        document: Json = {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "created": with_microseconds(self.created),
            "updated": with_microseconds(self.updated),
            "note": rng.pick(["", "Please be quick.", None]),
            "reason": rng.pick(["", None]),
            "activation_key": "",
            "answered": None,
            "effective_date": None,
            "assignee": rng.pick(["", None, {"id": PORTAL_USER["id"], "name": "Mara Example"}]),
            "params_form_url": f"https://portal.example/forms/{self.id}",
            "marketplace": self.product.marketplace,
            "contract": self.product.contract,
            "asset": self.asset(),
        }
        if rng.chance(12):
            document["loyalty_programme"] = {"level": "gold", "points": 1250}
        sent = {name: value for name, value in (self.overlay or {}).items() if name != "asset"}
        return {**merge(document, sent), **self.shown}

    def asset(self) -> Json:
        """As ``assets/{id}`` shows it and the request embeds it."""
        rng = SeededRandom(self.seed, "asset", self.number)
        document: Json = {
            "id": self.asset_id,
            "status": self.asset_status,
            "external_id": self.number if rng.chance(20) else str(100_000 + self.number),
            "external_uid": f"518e10e8-3b1b-49b5-a480-{self.number:012d}",
            "external_name": rng.pick([None, f"Order {self.number}"]),
            "product": self.product.reference,
            "connection": self.product.connection,
            "contract": self.product.contract,
            "marketplace": self.product.marketplace,
            "events": {
                "created": {"at": whole_seconds(self.created)},
                "updated": {"at": whole_seconds(self.updated)},
            },
            "items": [self._item(item, rng) for item in ITEMS],
            "params": self._params(rng),
            "tiers": {
                "customer": tier_account(10_000_000 + self.number, 0),
                "tier1": tier_account(self.reseller, 1),
                "tier2": rng.pick([{}, None, {}, tier_account(self.reseller, 2)]),
            },
            "configuration": {"params": [] if rng.chance(30) else [_REGION]},
        }
        document = merge(document, (self.overlay or {}).get("asset", {}))
        document["params"] = change_params(document["params"], self.params)
        return document

    def _item(self, item: Item, rng: SeededRandom) -> Json:
        quantity = self._quantity(item, rng)
        return {
            "id": self.product.item_id(item),
            "global_id": self.product.item_id(item),
            "mpn": item.mpn,
            "display_name": item.name,
            "item_type": "PPU" if item.item_type == "ppu" else "Reservation",
            "type": item.unit,
            "period": rng.pick(["Monthly", "Yearly"]),
            "old_quantity": "0" if self.type == "purchase" else rng.pick(["5", 5, "5.0"]),
            "quantity": quantity,
            "params": [_REGION_ITEM] if rng.chance(25) else [],
        }

    def _quantity(self, item: Item, rng: SeededRandom) -> str | float:
        if self.scenario == "absurd-quantity" and item.number == 1:
            return str(ABSURD_QUANTITY + rng.number(1, 900_000))
        if item.item_type == "ppu":
            return "unlimited"
        if self.type == "cancel":
            return "0" if rng.chance(50) else 0
        amount = rng.number(1, 80)
        if rng.chance(25):
            return float(amount)
        return f"{amount}.5" if rng.chance(25) else str(amount)

    def _params(self, rng: SeededRandom) -> list[Json]:
        email = "" if self.scenario == "missing-email" else f"order{self.number}@customer.example"
        plan = rng.pick(["basic", "business"])
        filled = self.type != "purchase"
        return [
            _param("email", "email", "text", "ordering", email, required=True),
            _param(
                "purchase_id",
                "purchase_id",
                "text",
                "fulfillment",
                f"TEN-{self.number:08d}" if filled else "",
            ),
            {
                **_param("plan", "Service plan", "dropdown", "ordering", plan, required=True),
                "value_choices": [
                    {"label": "Basic", "value": "basic"},
                    {"label": "Business", "value": "business"},
                ],
            },
            {
                **_param("campaign", "Campaign", "text", "ordering", None),
                "scope": None,
                "constraints": None,
            },
        ]


def _param(
    identifier: str, name: str, kind: str, phase: str, value: str | None, *, required: bool = False
) -> Json:
    return {
        "id": identifier,
        "name": name,
        "title": name.capitalize(),
        "description": f"{name.capitalize()} of the order",
        "type": kind,
        "scope": "asset",
        "phase": phase,
        "value": value,
        "value_error": "",
        "structured_value": None,
        "value_choices": [],
        "constraints": {"hidden": False, "required": required, "unique": False},
    }


_CONFIGURED = {
    "created": {"at": "2026-02-26T10:42:49+00:00", "by": CUSTOMER_USER},
    "updated": {"at": "2026-02-26T10:42:49+00:00"},
}
_REGION: Json = {
    **_param("api_region", "api region", "text", "configuration", "eu-west", required=True),
    "scope": "product",
    "events": _CONFIGURED,
}
_REGION_ITEM: Json = {**_REGION, "id": "item_region", "scope": "item"}


@dataclass(slots=True)
class Asset:
    """One ``AS-…``, a view of its request."""

    request: FulfillmentRequest
    sequence: int = -1

    @property
    def id(self) -> str:
        """The asset's id."""
        return self.request.asset_id

    @property
    def status(self) -> str:
        """The asset's own status."""
        return self.request.asset_status

    @property
    def product_id(self) -> str:
        """The product that it is an instance of."""
        return self.request.product.id

    def lookup_values(self) -> dict[str, str]:
        """No index: assets are looked up by their id."""
        return {}

    def values(self, name: str) -> list[Any]:
        """Values under a field name."""
        if name == "id":
            return [self.id]
        if name == "events.created.at":
            return [whole_seconds(self.request.created)]
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As ``assets/{id}`` shows it."""
        return self.request.asset()


@dataclass(slots=True)
class Conversation:
    """One ``CO-…``; ``instance_id`` says what it is about."""

    number: int
    instance_id: str
    created: datetime
    #: (id, when, text) of each message, oldest first
    messages: list[tuple[str, datetime, str]] = field(default_factory=list)
    status: str = "open"
    #: conversation, or the vendor's own notes
    type: str = "conversation"
    sequence: int = -1
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or documents.conversation_id(self.number)

    @property
    def product_id(self) -> str:
        """Conversations belong to no product."""
        return ""

    def lookup_values(self) -> dict[str, str]:
        """The index by the object that a conversation is about."""
        return {"instance_id": self.instance_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name."""
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As the collection lists it: without the messages."""
        stamp = {"at": whole_seconds(self.created), "by": _CREATOR}
        return {
            "id": self.id,
            "instance_id": self.instance_id,
            "created": whole_seconds(self.created),
            "topic": f"ConnectRequest {self.instance_id}",
            "type": self.type,
            "status": self.status,
            "accounts": [VENDOR, PROVIDER],
            "creator": _CREATOR,
            "events": {"created": stamp, "updated": stamp},
        }

    def full_body(self) -> Json:
        """As ``conversations/{id}`` showed it in 2019: with the messages."""
        return {**self.body(), "messages": [self.message_body(m) for m in self.messages]}

    def message_body(self, message: tuple[str, datetime, str]) -> Json:
        """One message, as its collection and its creation show it."""
        identifier, moment, text = message
        author = {"id": PORTAL_USER["id"], "name": PORTAL_USER["name"]}
        return {
            "id": identifier,
            "conversation": self.id,
            "created": whole_seconds(moment),
            "creator": author,
            "text": text,
            "type": "message",
            "account": VENDOR,
            "events": {"created": {"at": whole_seconds(moment), "by": author}},
        }


_CREATOR = {"id": CUSTOMER_USER["id"], "name": CUSTOMER_USER["name"]}
