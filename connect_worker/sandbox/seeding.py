"""Creates requests. The name of a request's scenario says what the right decision about it is.

======================  ==========================================================================
scenario                the decision of a vendor that follows the example of the documentation
======================  ==========================================================================
purchase                approve: the email is there, the purchase id is to be filled
missing-email           inquire for the parameter ``email``
absurd-quantity         fail: one quantity is above 100,000
change, cancel,         as the processor likes; the request's type has the same name
suspend, resume
setup, update           approve the reseller's tier config
ready                   submit the usage file
invalid                 nothing by default: the usage file is in status ``invalid``
listed                  report usage for the listing
======================  ==========================================================================
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from connect_worker.sandbox.documents import Clock, SeededRandom
from connect_worker.sandbox.fulfillment import Asset, Conversation, FulfillmentRequest
from connect_worker.sandbox.http import BadRequestError, Json
from connect_worker.sandbox.memory import CallLater, ConnectRequest, Options, SandboxState
from connect_worker.sandbox.products import Product, build_catalog
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest, opening_events
from connect_worker.sandbox.usage import Listing, UsageFile
from connect_worker.sandbox.webhook import Post

SEEDED_DAYS = 5

_OTHER_TYPES = ("change", "cancel", "suspend", "resume")

#: The scenarios of each twenty requests: twelve purchases, three without an email, two with an
#: absurd quantity; None is one of the other types.
_SCENARIOS = (
    "purchase", "missing-email", "purchase", "absurd-quantity", "purchase", None, "purchase",
    "purchase", "missing-email", "purchase", "purchase", None, "purchase", "absurd-quantity",
    "purchase", "purchase", "missing-email", "purchase", None, "purchase",
)  # fmt: skip

R = TypeVar("R", bound=ConnectRequest)


def build_state(
    options: Options, *, clock: Clock, call_later: CallLater, post: Post, reset: Callable[[], None]
) -> SandboxState:
    """Return a seeded state; equal options on the same day give equal requests."""
    midnight = clock().replace(hour=0, minute=0, second=0, microsecond=0)
    state = SandboxState(
        options=options,
        catalog=build_catalog(options.product_count),
        clock=clock,
        call_later=call_later,
        post=post,
        reset=reset,
        origin=midnight - timedelta(days=SEEDED_DAYS),
    )
    spread = options.spread
    plan = (
        (spread.fulfillment, add_fulfillment),
        (spread.tier_config, add_tier_config),
        (spread.usage_files, add_usage_file),
        (spread.listings, add_listing),
    )
    for count, add in plan:
        step = timedelta(days=SEEDED_DAYS) / max(count, 1)
        for number in range(count):
            jitter = SeededRandom(options.seed, "created", number).number(0, 900) / 1000
            add(state, state.origin + step * (number + jitter))
    return state


def add_fulfillment(
    state: SandboxState,
    created: datetime,
    scenario: str | None = None,
    *,
    product: Product | None = None,
) -> FulfillmentRequest:
    """Add a pending fulfillment request with its conversation."""
    number = len(state.requests)
    scenario = scenario or _fulfillment_scenario(number)
    kind = scenario if scenario in _OTHER_TYPES else "purchase"
    products = state.catalog.products
    record = FulfillmentRequest(
        number=number,
        seed=state.options.seed,
        product=product or SeededRandom(state.options.seed, "product", number).pick(products),
        reseller=_reseller(state, number),
        type=kind,
        scenario=scenario,
        created=created,
        updated=created,
        asset_status=_ASSET_STATUS.get(kind, "processing"),
    )
    state.requests.add(record)
    state.assets.add(Asset(record))
    _add_conversations(state, record)
    return _announce(state, record)


def _add_conversations(state: SandboxState, record: FulfillmentRequest) -> None:
    """Add the open conversation, which is listed last, and for some requests others."""
    others = [("conversation", "open")]
    if not state.options.is_of_2019:
        others += [("notes", "open")] * (record.number % 2 == 0)
        others += [("conversation", "closed")] * (record.number % 4 == 0)
    for kind, status in others:
        number = len(state.conversations)
        state.conversations.add(
            Conversation(number, record.id, record.created, status=status, type=kind)
        )


def add_tier_config(
    state: SandboxState, created: datetime, scenario: str | None = None
) -> TierConfigRequest:
    """Add a pending tier config request; no two have the same reseller and product."""
    number = len(state.tier_requests)
    scenario = scenario or ("update" if number % 4 == 3 else "setup")
    products = state.catalog.products
    record = TierConfigRequest(
        number=number,
        seed=state.options.seed,
        product=products[number % len(products)],
        reseller=number // len(products),
        type=scenario,
        scenario=scenario,
        created=created,
        updated=created,
        events=opening_events(created),
        config_status="active" if scenario == "update" else "processing",
    )
    state.tier_requests.add(record)
    state.tier_configs.add(TierConfig(record))
    return _announce(state, record)


def add_usage_file(
    state: SandboxState, created: datetime, scenario: str | None = None
) -> UsageFile:
    """Add a usage file that the vendor has uploaded by hand."""
    number = len(state.usage_files)
    rng = SeededRandom(state.options.seed, "usage-file", number)
    scenario = scenario or ("invalid" if number % 10 == 9 else "ready")
    product = state.catalog.products[number % len(state.catalog.products)]
    bad = rng.number(1, 5) if scenario == "invalid" else 0
    record = UsageFile(
        number=number,
        product=product,
        contract=product.contract,
        name=f"Usage of {created:%B %Y}, part {number + 1}",
        description=rng.pick(["", "Uploaded by hand"]),
        created=created,
        scenario=scenario,
        status=scenario,
        capitals=rng.chance(25),
        events={"uploaded": created},
        uploads=0,
        records_valid=rng.number(1, 60),
        records_invalid=bad,
        error_details=f"{bad} records could not be read" if bad else None,
    )
    return _announce(state, state.usage_files.add(record))


def add_listing(
    state: SandboxState, created: datetime, scenario: str | None = None, *, contract_id: str = ""
) -> Listing:
    """Add a listing, under a contract of its own."""
    number = len(state.listings)
    record = Listing(
        number=number,
        seed=state.options.seed,
        product=state.catalog.products[number % len(state.catalog.products)],
        created=created,
        scenario=scenario or "listed",
        contract_id=contract_id,
    )
    return _announce(state, state.listings.add(record))


#: How to add one request of each kind, and the scenarios that a caller may ask for.
ADDERS: dict[
    str, tuple[Callable[[SandboxState, datetime, str | None], ConnectRequest], tuple[str, ...]]
] = {
    "fulfillment": (
        add_fulfillment,
        ("purchase", "missing-email", "absurd-quantity", *_OTHER_TYPES),
    ),
    "tier-config": (add_tier_config, ("setup", "update")),
    "usage-file": (add_usage_file, ("ready", "invalid")),
    "usage": (add_listing, ("listed",)),
}

_ASSET_STATUS = {"change": "active", "cancel": "active", "suspend": "active", "resume": "suspended"}


def _fulfillment_scenario(number: int) -> str:
    """Exact shares in every twenty requests, so that small runs have variety too."""
    turn, place = divmod(number, len(_SCENARIOS))
    return _SCENARIOS[place] or _OTHER_TYPES[(turn * 3 + place) % len(_OTHER_TYPES)]


def _reseller(state: SandboxState, number: int) -> int:
    """A reseller that also has a tier config request for the same product, where there is one."""
    products = len(state.catalog.products)
    resellers = max(1, state.options.spread.tier_config // products)
    return (number // products) % resellers


def _announce(state: SandboxState, record: R) -> R:
    state.initial_status[record.id] = record.status
    state.webhooks.announce(record)
    return record


def add_from_document(state: SandboxState, document: Json) -> FulfillmentRequest:
    """Create a pending request, or a draft, from a document; what it leaves out is generated.

    Raises:
        BadRequestError: The type is unknown, or the product is not in the catalog.
    """
    kind = document.get("type", "purchase")
    if kind not in ("purchase", "change", "cancel", "suspend", "resume"):
        raise BadRequestError(f"type: '{kind}' is not a type of request.")
    asset = document.get("asset", {})
    if not isinstance(asset, dict):
        raise BadRequestError("asset: an object is expected.")
    product = None
    if "product" in asset:
        product = state.catalog.by_id.get(str((asset["product"] or {}).get("id")))
        if product is None:
            raise BadRequestError("asset.product.id: there is no such product.")
    record = add_fulfillment(state, state.clock(), kind, product=product)
    kept = {key: value for key, value in asset.items() if key not in ("id", "status", "product")}
    own = ("id", "status", "type", "created", "updated", "asset")
    record.overlay = {k: v for k, v in document.items() if k not in own} | {"asset": kept}
    make_draft(state, record, document)
    return record


def make_draft(state: SandboxState, record: ConnectRequest, document: Json) -> None:
    """Make a new request a draft, if its document says so."""
    if document.get("status") == "draft":
        state.set_status(record, "draft")
        state.initial_status[record.id] = "draft"
