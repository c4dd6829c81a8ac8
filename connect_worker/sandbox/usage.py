"""Usage listings and usage files."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from connect_worker.sandbox import identifiers
from connect_worker.sandbox.catalog import PORTAL_USER, PROVIDER, VENDOR, Json, Product
from connect_worker.sandbox.collection import merge, values_at
from connect_worker.sandbox.simulation import Dice, whole_seconds


@dataclass(slots=True)
class Listing:
    """One ``LST-…``: a product offered on a marketplace under a contract of its own."""

    kind: ClassVar[str] = "usage"

    number: int
    seed: int
    product: Product
    created: datetime
    scenario: str = "listed"
    status: str = "listed"
    overlay: Json | None = None
    sequence: int = -1
    id: str = ""
    #: the distribution contract; no two listings share one
    contract_id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or identifiers.listing_id(self.number)
        self.contract_id = self.contract_id or identifiers.contract_id(self.number)

    @property
    def product_id(self) -> str:
        """The product that is listed."""
        return self.product.id

    @property
    def type(self) -> str:
        """Listings have no type of request."""
        return "listing"

    def lookup_values(self) -> dict[str, str]:
        """Listings are found by their contract at once."""
        return {"contract.id": self.contract_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name, without building the document where a poll would need it."""
        match name:
            case "status":
                return [self.status]
            case "product.id":
                return [self.product.id]
        return values_at(self.body(), name)

    def contract(self) -> Json:
        """The contract, with its marketplace inside as listings show it."""
        return {
            "id": self.contract_id,
            "type": "distribution",
            "name": f"{PROVIDER['name']} distribution agreement {self.number}",
            "marketplace": self.product.marketplace,
        }

    def body(self) -> Json:
        """As ``listings`` shows it."""
        dice = Dice(self.seed, "listing", self.number)
        document: Json = {
            "id": self.id,
            "status": self.status,
            "contract": self.contract(),
            "product": self.product.reference,
            "created": whole_seconds(self.created),
            "updated": whole_seconds(self.created),
            "vendor": VENDOR,
            "provider": PROVIDER,
        }
        if dice.chance(12):
            document["visibility_hint"] = "partners"
        return merge(document, self.overlay or {})


@dataclass(slots=True)
class UsageFile:
    """One ``UF-…``."""

    kind: ClassVar[str] = "usage-file"

    number: int
    product: Product
    contract: Json
    name: str
    description: str
    created: datetime
    scenario: str
    status: str = "draft"
    #: Connect shows some statuses in capitals; filters know them in lower case
    capitals: bool = False
    #: event name -> when
    events: dict[str, datetime] = field(default_factory=dict)
    uploads: int = 0
    records_valid: int = 0
    records_invalid: int = 0
    error_details: str | None = None
    shown: Json = field(default_factory=dict)
    overlay: Json | None = None
    sequence: int = -1
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or identifiers.usage_file_id(
            self.number, self.created.year, self.created.month
        )

    @property
    def product_id(self) -> str:
        """The product whose use is reported."""
        return self.product.id

    @property
    def type(self) -> str:
        """Usage files have no type of request."""
        return "usage-file"

    @property
    def updated(self) -> datetime:
        """The latest event."""
        return max(self.events.values(), default=self.created)

    def lookup_values(self) -> dict[str, str]:
        """Files are found by contract and by name at once: a client looks for its own drafts."""
        return {"contract.id": str(self.contract.get("id")), "name": self.name}

    def values(self, name: str) -> list[Any]:
        """Values under a field name, without building the document where a poll would need it."""
        match name:
            case "id":
                return [self.id]
            case "status":
                return [self.status]
            case "product.id":
                return [self.product.id]
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As ``usage/files/{id}`` shows it."""
        document: Json = {
            "id": self.id,
            "external_id": str(self.number),
            "name": self.name,
            "description": self.description,
            "note": "",
            "status": self.status.upper() if self.capitals else self.status,
            "created_by": PORTAL_USER["email"],
            "created_at": whole_seconds(self.created),
            "environment": "production",
            "product": self.product.reference,
            "contract": {"id": self.contract["id"], "name": self.contract.get("name")},
            "marketplace": self.product.marketplace,
            "vendor": VENDOR,
            "provider": PROVIDER,
            "acceptance_note": None,
            "rejection_note": None,
            "error_details": self.error_details,
            "records": {"valid": self.records_valid, "invalid": self.records_invalid},
            "events": {
                name: {"at": whole_seconds(moment), "by": {"name": PORTAL_USER["email"]}}
                for name, moment in {"created": self.created, **self.events}.items()
            },
        }
        if self.uploads:
            document["upload_file_uri"] = f"https://files.example/{self.id}/usage_file.xlsx"
        return {**merge(document, self.overlay or {}), **self.shown}
