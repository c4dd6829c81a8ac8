"""Endpoints of ``listings``, ``usage/files`` and the usage template of a product."""

from connect_worker.sandbox import collection
from connect_worker.sandbox.collection import page_of
from connect_worker.sandbox.documents import with_microseconds
from connect_worker.sandbox.http import (
    BadRequestError,
    Json,
    NotFoundError,
    Request,
    Response,
    Route,
)
from connect_worker.sandbox.memory import SandboxState
from connect_worker.sandbox.products import Product
from connect_worker.sandbox.requests import UPLOADABLE, USAGE_FILE_ACTIONS, accept, require_status
from connect_worker.sandbox.usage import (
    SPREADSHEET_MEDIA_TYPE,
    Listing,
    UsageFile,
    check_spreadsheet,
    spreadsheet_template,
)
from connect_worker.sandbox.usage_sheet import UnreadableSpreadsheetError

_FILE_FIELDS = collection.names_of(collection.USAGE_FILES)
_LISTING_FIELDS = collection.names_of(collection.LISTINGS)

_EVENTS = {
    "submit": "submitted",
    "accept": "accepted",
    "reject": "rejected",
    "close": "closed",
    "delete": "deleted",
}


def list_listings(state: SandboxState, request: Request) -> Response:
    """One page of listings."""
    return page_of(state.listings, request, _LISTING_FIELDS, Listing.body)


def get_listing(state: SandboxState, request: Request) -> Response:
    """One listing."""
    return Response(content=state.listings.get(request.args["id"]).body())


def list_files(state: SandboxState, request: Request) -> Response:
    """One page of usage files."""
    return page_of(state.usage_files, request, _FILE_FIELDS, UsageFile.body)


def get_file(state: SandboxState, request: Request) -> Response:
    """One usage file."""
    return Response(content=state.usage_files.get(request.args["id"]).body())


def create_file(state: SandboxState, request: Request) -> Response:
    """Create a draft without records; 201."""
    document = request.document()
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadRequestError("name is required to create a usage file.")
    product = state.catalog.by_id.get(_id_in(document, "product"))
    if product is None:
        raise BadRequestError("product.id: there is no such product.", code="VAL_002")
    contract_id = _id_in(document, "contract")
    listing = _listing_of(state, contract_id, product.id)
    contract = listing.contract() if listing else product.contract
    if contract["id"] != contract_id:
        raise BadRequestError("contract.id: the product is not listed under it.", code="VAL_002")
    record = UsageFile(
        number=len(state.usage_files),
        product=product,
        contract=contract,
        name=name,
        description=str(document.get("description") or ""),
        created=state.clock(),
        scenario="created",
    )
    state.usage_files.add(record)
    state.initial_status[record.id] = record.status
    for kept in ("external_id", "note", "period", "currency"):
        if document.get(kept) is not None:
            record.shown[kept] = document[kept]
    if listing:
        state.journal.entry(listing.id).usage_files.append(record.id)
    _note(state, request, record, "created")
    return Response(status=201, content=record.body())


def upload_records(state: SandboxState, request: Request) -> Response:
    """Read the spreadsheet in the part ``usage_file``: the file becomes ready or invalid."""
    record = state.usage_files.get(request.args["id"])
    require_status(record.id, record.status, UPLOADABLE, "take an upload")
    upload = request.files.get("usage_file")
    if upload is None:
        raise BadRequestError("usage_file: a multipart file is expected.")
    try:
        check = check_spreadsheet(upload.content, record.product, state.assets)
    except UnreadableSpreadsheetError as error:
        raise BadRequestError(f"usage_file: {error}", code="VAL_003") from error
    record.uploads += 1
    record.capitals = False
    record.records_valid, record.records_invalid = check.valid, check.invalid
    record.error_details = "; ".join(check.errors[:20]) or None
    record.events["uploaded"] = state.clock()
    state.set_status(record, "invalid" if check.errors else "ready")
    _note(state, request, record, "uploaded")
    return Response(status=state.options.upload_status, content=record.body())


def submit_file(state: SandboxState, request: Request) -> Response:
    """Submit the file to the provider."""
    return _act(state, request, "submit")


def accept_file(state: SandboxState, request: Request) -> Response:
    """Accept the file, as the provider."""
    return _act(state, request, "accept", note="acceptance_note")


def reject_file(state: SandboxState, request: Request) -> Response:
    """Reject the file, as the provider; a note is required."""
    return _act(state, request, "reject", note="rejection_note", required=True)


def close_file(state: SandboxState, request: Request) -> Response:
    """Close the file: it is billed."""
    return _act(state, request, "close")


def delete_file(state: SandboxState, request: Request) -> Response:
    """Delete the file."""
    return _act(state, request, "delete")


def get_template_link(state: SandboxState, request: Request) -> Response:
    """Show the address of the empty spreadsheet."""
    product = _product(state, request)
    link = f"{request.base_url}/sandbox/usage-template/{product.id}.xlsx"
    return Response(content={"template_link": link})


def get_template(state: SandboxState, request: Request) -> Response:
    """Send the empty spreadsheet; storage links need no key."""
    _product(state, request)
    return Response(content=spreadsheet_template(), content_type=SPREADSHEET_MEDIA_TYPE)


def _act(
    state: SandboxState,
    request: Request,
    action: str,
    *,
    note: str | None = None,
    required: bool = False,
) -> Response:
    record = state.usage_files.get(request.args["id"])
    require_status(record.id, record.status, USAGE_FILE_ACTIONS[action][0], action)
    text = request.document().get(note) if note else None
    if required and not (isinstance(text, str) and text.strip()):
        raise BadRequestError(f"{note} is required to {action} a usage file.")
    if note and text:
        record.shown[note] = text
    record.capitals = False
    record.events[_EVENTS[action]] = state.clock()
    accept(state, request, record, action, USAGE_FILE_ACTIONS)
    return Response(content=record.body())


def _note(state: SandboxState, request: Request, record: UsageFile, event: str) -> None:
    state.journal.entry(record.id).events.append(
        {
            "event": event,
            "at": with_microseconds(state.clock()),
            "idempotency_key": request.idempotency_key,
        }
    )


def _id_in(document: Json, name: str) -> str:
    reference = document.get(name)
    if not isinstance(reference, dict) or not isinstance(reference.get("id"), str):
        raise BadRequestError(f"{name}.id is required to create a usage file.")
    return str(reference["id"])


def _listing_of(state: SandboxState, contract_id: str, product_id: str) -> Listing | None:
    listings = state.listings.find("contract.id", contract_id)
    return next((listing for listing in listings if listing.product.id == product_id), None)


def _product(state: SandboxState, request: Request) -> Product:
    product = state.catalog.by_id.get(request.args["id"])
    if product is None:
        raise NotFoundError(f"product {request.args['id']}")
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
#: Under ``/sandbox/``: without a key, as the links of a file storage.
CONTROL_ROUTES = [Route("GET", "usage-template/{id}.xlsx", get_template)]
