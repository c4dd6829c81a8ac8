"""``listings``, ``usage/files`` and the usage template of a product."""

from connect_worker.sandbox import fields, spreadsheet
from connect_worker.sandbox.catalog import Product
from connect_worker.sandbox.errors import BadRequestError, NotFoundError
from connect_worker.sandbox.fields import UPLOADABLE, USAGE_FILE_ACTIONS, require_status
from connect_worker.sandbox.handlers.catalog import page_of
from connect_worker.sandbox.handlers.outcomes import accept
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import World
from connect_worker.sandbox.usage import Listing, UsageFile

_FILE_FIELDS = fields.names_of(fields.USAGE_FILES)
_LISTING_FIELDS = fields.names_of(fields.LISTINGS)

_EVENTS = {
    "submit": "submitted",
    "accept": "accepted",
    "reject": "rejected",
    "close": "closed",
    "delete": "deleted",
}


def list_listings(call: Call) -> Reply:
    """One page of listings."""
    return page_of(call.world.listings, call, _LISTING_FIELDS, Listing.body)


def get_listing(call: Call) -> Reply:
    """One listing."""
    return Reply(content=call.world.listings.get(call.args["id"]).body())


def list_files(call: Call) -> Reply:
    """One page of usage files."""
    return page_of(call.world.usage_files, call, _FILE_FIELDS, UsageFile.body)


def get_file(call: Call) -> Reply:
    """One usage file."""
    return Reply(content=call.world.usage_files.get(call.args["id"]).body())


def create_file(call: Call) -> Reply:
    """A draft without records; 201."""
    document = call.document()
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadRequestError("name is required to create a usage file.")
    product = call.world.catalog.by_id.get(_id_in(document, "product"))
    if product is None:
        raise BadRequestError("product.id: there is no such product.", code="VAL_002")
    contract_id = _id_in(document, "contract")
    listing = _listing_of(call.world, contract_id, product.id)
    contract = listing.contract() if listing else product.contract
    if contract["id"] != contract_id:
        raise BadRequestError("contract.id: the product is not listed under it.", code="VAL_002")
    record = UsageFile(
        number=len(call.world.usage_files),
        product=product,
        contract=contract,
        name=name,
        description=str(document.get("description") or ""),
        created=call.world.clock(),
        scenario="created",
    )
    call.world.usage_files.add(record)
    call.world.initial_status[record.id] = record.status
    for kept in ("external_id", "note", "period", "currency"):
        if document.get(kept) is not None:
            record.shown[kept] = document[kept]
    if listing:
        call.world.journal.entry(listing.id).usage_files.append(record.id)
    _note(call, record, "created")
    return Reply(status=201, content=record.body())


def upload_records(call: Call) -> Reply:
    """Read the spreadsheet in the part ``usage_file``: the file becomes ready or invalid."""
    record = call.world.usage_files.get(call.args["id"])
    require_status(record.id, record.status, UPLOADABLE, "take an upload")
    upload = call.files.get("usage_file")
    if upload is None:
        raise BadRequestError("usage_file: a multipart file is expected.")
    try:
        check = spreadsheet.check(upload.content, record.product, call.world.assets)
    except spreadsheet.UnreadableError as error:
        raise BadRequestError(f"usage_file: {error}", code="VAL_003") from error
    record.uploads += 1
    record.capitals = False
    record.records_valid, record.records_invalid = check.valid, check.invalid
    record.error_details = "; ".join(check.errors[:20]) or None
    record.events["uploaded"] = call.world.clock()
    call.world.settle(record, "invalid" if check.errors else "ready")
    _note(call, record, "uploaded")
    return Reply(status=call.world.options.upload_status, content=record.body())


def submit_file(call: Call) -> Reply:
    """Hand the file to the provider."""
    return _act(call, "submit")


def accept_file(call: Call) -> Reply:
    """The provider takes the file."""
    return _act(call, "accept", note="acceptance_note")


def reject_file(call: Call) -> Reply:
    """The provider sends the file back; a note is required."""
    return _act(call, "reject", note="rejection_note", required=True)


def close_file(call: Call) -> Reply:
    """The file is billed."""
    return _act(call, "close")


def delete_file(call: Call) -> Reply:
    """The file is withdrawn."""
    return _act(call, "delete")


def get_template_link(call: Call) -> Reply:
    """Where the spreadsheet to fill in can be fetched."""
    product = _product(call)
    link = f"{call.base_url}/sandbox/usage-template/{product.id}.xlsx"
    return Reply(content={"template_link": link})


def get_template(call: Call) -> Reply:
    """The spreadsheet itself; storage links need no key."""
    _product(call)
    return Reply(content=spreadsheet.template(), content_type=spreadsheet.MEDIA_TYPE)


def _act(call: Call, action: str, *, note: str | None = None, required: bool = False) -> Reply:
    record = call.world.usage_files.get(call.args["id"])
    require_status(record.id, record.status, USAGE_FILE_ACTIONS[action][0], action)
    text = call.document().get(note) if note else None
    if required and not (isinstance(text, str) and text.strip()):
        raise BadRequestError(f"{note} is required to {action} a usage file.")
    if note and text:
        record.shown[note] = text
    record.capitals = False
    record.events[_EVENTS[action]] = call.world.clock()
    accept(call, record, action, USAGE_FILE_ACTIONS)
    return Reply(content=record.body())


def _note(call: Call, record: UsageFile, event: str) -> None:
    call.world.journal.entry(record.id).events.append(
        {
            "event": event,
            "at": exact(call.world.clock()),
            "idempotency_key": call.idempotency_key,
        }
    )


def _id_in(document: Json, name: str) -> str:
    reference = document.get(name)
    if not isinstance(reference, dict) or not isinstance(reference.get("id"), str):
        raise BadRequestError(f"{name}.id is required to create a usage file.")
    return str(reference["id"])


def _listing_of(world: World, contract_id: str, product_id: str) -> Listing | None:
    found = world.listings.find("contract.id", contract_id)
    return next((listing for listing in found if listing.product.id == product_id), None)


def _product(call: Call) -> Product:
    product = call.world.catalog.by_id.get(call.args["id"])
    if product is None:
        raise NotFoundError(f"product {call.args['id']}")
    return product


ROUTES = [
    Route("GET", "listings", list_listings),
    Route("GET", "listings/{id}", get_listing, about="id"),
    Route("GET", "usage/files", list_files),
    Route("POST", "usage/files", create_file),
    Route("GET", "usage/files/{id}", get_file, about="id"),
    Route("POST", "usage/files/{id}/upload", upload_records, about="id"),
    Route("POST", "usage/files/{id}/submit", submit_file, about="id"),
    Route("POST", "usage/files/{id}/accept", accept_file, about="id"),
    Route("POST", "usage/files/{id}/reject", reject_file, about="id"),
    Route("POST", "usage/files/{id}/close", close_file, about="id"),
    Route("POST", "usage/files/{id}/delete", delete_file, about="id"),
    Route("GET", "usage/products/{id}/template", get_template_link),
]
