"""Usage listings, usage files, and the spreadsheets of usage records, read as Connect does."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, ClassVar

from openpyxl import Workbook

from connect_worker.sandbox import documents
from connect_worker.sandbox.documents import Json, SeededRandom, merge, values_at, whole_seconds
from connect_worker.sandbox.products import ITEMS, PORTAL_USER, PROVIDER, VENDOR, Product
from connect_worker.sandbox.usage_sheet import UnreadableSpreadsheetError, rows_of


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
        self.id = self.id or documents.listing_id(self.number)
        self.contract_id = self.contract_id or documents.contract_id(self.number)

    @property
    def product_id(self) -> str:
        """The product that is listed."""
        return self.product.id

    @property
    def type(self) -> str:
        """Listings have no type of request."""
        return "listing"

    def lookup_values(self) -> dict[str, str]:
        """The index by contract."""
        return {"contract.id": self.contract_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name; those that a poll needs, without building the document."""
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
        rng = SeededRandom(self.seed, "listing", self.number)
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
        if rng.chance(12):
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
        self.id = self.id or documents.usage_file_id(
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
        """The indexes by contract and by name: a client looks for its own drafts."""
        return {"contract.id": str(self.contract.get("id")), "name": self.name}

    def values(self, name: str) -> list[Any]:
        """Values under a field name; those that a poll needs, without building the document."""
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


SHEET = "usage_records"
SPREADSHEET_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

COLUMNS = (
    "record_id",
    "item_search_criteria",
    "item_search_value",
    "quantity",
    "start_time_utc",
    "end_time_utc",
    "asset_search_criteria",
    "asset_search_value",
)
#: Columns that later clients write between or after the others.
_OPTIONAL = frozenset(
    (
        "record_note",
        "amount",
        "item_name",
        "item_mpn",
        "item_unit",
        "item_precision",
        "category_id",
        "asset_recon_id",
        "tier",
        "external_billing_id",
        "external_billing_note",
    )
)
_ITEM_CRITERIA = ("item.mpn", "item.local_id", "item.global_id")
#: How many mistakes are named.
MAX_ERRORS = 100
#: The API does not take a date alone.
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class SpreadsheetCheck:
    """What a spreadsheet contains."""

    valid: int
    invalid: int
    #: one sentence for each of the first mistakes, with its row
    errors: tuple[str, ...]


def spreadsheet_template() -> bytes:
    """A workbook with the header only."""
    book = Workbook(write_only=True)
    book.create_sheet(SHEET).append(COLUMNS)
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


def check_spreadsheet(content: bytes, product: Product, assets: Container[str]) -> SpreadsheetCheck:
    """Check each record of a workbook against a product and the known assets.

    Raises:
        UnreadableSpreadsheetError: There is no workbook, no such sheet, or a wrong header.
    """
    rows = rows_of(content, SHEET)
    header = [str(cell or "").strip() for cell in next(rows, ())]
    _require_header(header)
    errors: list[str] = []
    seen: set[int] = set()
    valid = invalid = 0
    for number, cells in enumerate(rows, start=2):
        record = dict(zip(header, cells, strict=False))
        if not any(cell not in (None, "") for cell in cells):
            continue
        faults = list(_faults(record, product, assets, seen))
        errors += [f"row {number}: {fault}" for fault in faults[: MAX_ERRORS - len(errors)]]
        invalid += bool(faults)
        valid += not faults
    if not valid and not invalid:
        errors.append("the file has no records")
    return SpreadsheetCheck(valid, invalid, tuple(errors))


def _require_header(header: list[str]) -> None:
    names = [name for name in header if name]
    unknown = [name for name in names if name not in COLUMNS and name not in _OPTIONAL]
    if unknown:
        raise UnreadableSpreadsheetError(f"unknown column {', '.join(unknown)[:200]}")
    if [name for name in names if name in COLUMNS] != list(COLUMNS):
        raise UnreadableSpreadsheetError(f"the columns must be {', '.join(COLUMNS)}, in this order")


def _faults(
    record: dict[str, Any], product: Product, assets: Container[str], seen: set[int]
) -> Iterator[str]:
    identifier = _text(record["record_id"])
    if not identifier:
        yield "record_id is empty"
    # A hash is small, and a text may be long.
    elif hash(identifier) in seen:
        yield f"record_id {identifier} stands twice"
    seen.add(hash(identifier))
    yield from _item_faults(record, product)
    yield from _asset_faults(record, assets)
    yield from _amount_faults(record)
    yield from _time_faults(record)


def _item_faults(record: dict[str, Any], product: Product) -> Iterator[str]:
    criteria, value = (_text(record[f"item_search_{part}"]) for part in ("criteria", "value"))
    if criteria not in _ITEM_CRITERIA:
        yield f"item_search_criteria '{criteria}' is not one of {', '.join(_ITEM_CRITERIA)}"
    elif value not in _item_names(product, criteria):
        yield f"item_search_value '{value}' is not an item of {product.id}"


def _item_names(product: Product, criteria: str) -> set[str]:
    if criteria == "item.global_id":
        return {product.item_id(item) for item in ITEMS}
    return {item.mpn for item in ITEMS}


def _asset_faults(record: dict[str, Any], assets: Container[str]) -> Iterator[str]:
    criteria, value = (_text(record[f"asset_search_{part}"]) for part in ("criteria", "value"))
    if criteria != "asset.id" and not criteria.startswith("parameter."):
        yield f"asset_search_criteria '{criteria}' is neither asset.id nor parameter.…"
    elif not value:
        yield "asset_search_value is empty"
    elif criteria == "asset.id" and value not in assets:
        yield f"asset_search_value '{value}' is not a known asset"


def _amount_faults(record: dict[str, Any]) -> Iterator[str]:
    try:
        quantity = float(record["quantity"])
    except (TypeError, ValueError):
        yield f"quantity '{_text(record['quantity'])}' is not a number"
        return
    if quantity < 0:
        yield f"quantity {quantity:g} is below zero"


def _time_faults(record: dict[str, Any]) -> Iterator[str]:
    moments = {}
    for name in ("start_time_utc", "end_time_utc"):
        moments[name] = _moment(record[name])
        if moments[name] is None:
            yield f"{name} '{_text(record[name])}' is not a time (YYYY-MM-DD HH:MM:SS)"
    start, end = moments.values()
    if start and end and start > end:
        yield "start_time_utc is after end_time_utc"


def _moment(cell: Any) -> datetime | None:
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC)
    try:
        return datetime.strptime(_text(cell), _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()
