"""Tier config requests and the reseller's configurations that they set up."""

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
)
from connect_worker.sandbox.products import CUSTOMER_USER, PORTAL_USER, Product, tier_account


@dataclass(slots=True)
class TierConfigRequest:
    """One ``TCR-…`` with its ``TC-…``."""

    kind: ClassVar[str] = "tier-config"

    number: int
    seed: int
    product: Product
    reseller: int
    #: setup or update
    type: str
    scenario: str
    created: datetime
    updated: datetime
    #: event name -> (when, the user who caused it)
    events: dict[str, tuple[datetime, Json]]
    status: str = "pending"
    config_status: str = "processing"
    params: dict[str, Json] = field(default_factory=dict)
    shown: Json = field(default_factory=dict)
    overlay: Json | None = None
    sequence: int = -1
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or documents.tier_request_id(self.number)

    @property
    def product_id(self) -> str:
        """The product that the reseller will sell."""
        return self.product.id

    @property
    def config_id(self) -> str:
        """The configuration that the request is about."""
        return documents.tier_config_id(self.number)

    @property
    def account_id(self) -> str:
        """The reseller's account."""
        return documents.tier_account_id(self.reseller, 1)

    def lookup_values(self) -> dict[str, str]:
        """The indexes by reseller and by configuration."""
        return {
            "configuration.account.id": self.account_id,
            "configuration.id": self.config_id,
        }

    def values(self, name: str) -> list[Any]:
        """Values under a field name; those that a poll needs, without building the document."""
        match name:
            case "id":
                return [self.id]
            case "status":
                return [self.status]
            case "type":
                return [self.type]
            case "configuration.product.id":
                return [self.product.id]
            case "configuration.account.id":
                return [self.account_id]
            case "created":
                return [whole_seconds(self.created)]
            case "updated":
                return [whole_seconds(self.updated)]
            case "unassigned":
                return [not self.body()["assignee"]]
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As ``tier/config-requests/{id}`` shows it."""
        rng = SeededRandom(self.seed, "tier-config", self.number)
        document: Json = {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "configuration": self.configuration(),
            "parent_configuration": None,
            "account": tier_account(self.reseller, 1),
            "product": self.product.reference,
            "tier_level": 1,
            "params": change_params(self._params(rng), self.params),
            "environment": "production",
            "assignee": rng.pick([None, {"id": PORTAL_USER["id"], "name": PORTAL_USER["name"]}]),
            "template": None,
            "activation": {"link": f"https://portal.example/tier/{self.id}"},
            "events": {
                name: {"at": whole_seconds(moment), "by": user}
                for name, (moment, user) in self.events.items()
            },
        }
        if rng.chance(12):
            document["partner_segment"] = {"code": "SMB"}
        sent = {name: value for name, value in (self.overlay or {}).items() if name != "params"}
        return {**merge(document, sent), **self.shown}

    def configuration(self) -> Json:
        """As ``tier/configs/{id}`` shows it and the request embeds it."""
        rng = SeededRandom(self.seed, "tier-config", self.number)
        created = self.events["created"][0]
        document: Json = {
            "id": self.config_id,
            "name": f"Configuration of reseller {self.reseller}",
            "account": tier_account(self.reseller, 1),
            "product": self.product.reference,
            "tier_level": 1,
            "status": self.config_status,
            "connection": self.product.connection,
            "contract": self.product.contract,
            "marketplace": self.product.marketplace,
            "events": {
                "created": {"at": whole_seconds(created)},
                "updated": {"at": whole_seconds(self.updated), "by": PORTAL_USER},
            },
            "params": change_params(self._params(rng), self.params),
            "configuration": {"params": []},
            "open_request": {"id": self.id} if self.status in ("pending", "inquiring") else None,
        }
        if "template" in self.shown:
            document["template"] = self.shown["template"]
        return document

    def _params(self, rng: SeededRandom) -> list[Json]:
        known = self.type == "update"
        seeded = [
            _param("reseller_email", "ordering", f"reseller{self.reseller}@partner.example"),
            _param("reseller_id", "fulfillment", f"RS-{self.reseller:06d}" if known else ""),
            _param("discount_group", "ordering", rng.pick(["A", "B", None])),
        ]
        sent = (self.overlay or {}).get("params", [])
        return list(merge({"params": seeded}, {"params": sent})["params"])


def _param(identifier: str, phase: str, value: str | None) -> Json:
    return {
        "id": identifier,
        "name": identifier,
        "title": identifier.replace("_", " "),
        "description": "",
        "type": "text",
        "scope": "tier1",
        "phase": phase,
        "value": value,
        "value_error": "",
        "constraints": {"hidden": False, "required": phase == "ordering", "unique": False},
    }


def opening_events(created: datetime) -> dict[str, tuple[datetime, Json]]:
    """The events of a request that has just become pending."""
    return {"created": (created, CUSTOMER_USER), "pended": (created, CUSTOMER_USER)}


@dataclass(slots=True)
class TierConfig:
    """One ``TC-…``, a view of its request."""

    request: TierConfigRequest
    sequence: int = -1

    @property
    def id(self) -> str:
        """The configuration's id."""
        return self.request.config_id

    @property
    def status(self) -> str:
        """The configuration's own status."""
        return self.request.config_status

    @property
    def product_id(self) -> str:
        """The product that it is for."""
        return self.request.product.id

    def lookup_values(self) -> dict[str, str]:
        """The index by reseller."""
        return {"account.id": self.request.account_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name."""
        if name == "account.id":
            return [self.request.account_id]
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As ``tier/configs/{id}`` shows it."""
        return self.request.configuration()
