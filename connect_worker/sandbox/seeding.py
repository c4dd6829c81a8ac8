"""Fills a world with requests whose right decision is known by their scenario's name.

======================  ==========================================================================
scenario                what a vendor that follows the documentation's example decides
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

from connect_worker.sandbox.catalog import Product, build_catalog
from connect_worker.sandbox.conversations import Conversation
from connect_worker.sandbox.faults import Options
from connect_worker.sandbox.fulfillment import Asset, FulfillmentRequest
from connect_worker.sandbox.simulation import Clock, Dice
from connect_worker.sandbox.state import Later, Request, World
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest, opening_events
from connect_worker.sandbox.usage import Listing, UsageFile
from connect_worker.sandbox.webhooks import Post

SEEDED_DAYS = 5

_OTHER_TYPES = ("change", "cancel", "suspend", "resume")

#: Twelve purchases, three without email, two absurd; None stands for one of the other types.
_ROTA = (
    "purchase", "missing-email", "purchase", "absurd-quantity", "purchase", None, "purchase",
    "purchase", "missing-email", "purchase", "purchase", None, "purchase", "absurd-quantity",
    "purchase", "purchase", "missing-email", "purchase", None, "purchase",
)  # fmt: skip

R = TypeVar("R", bound=Request)


def build_world(
    options: Options, *, clock: Clock, later: Later, post: Post, restart: Callable[[], None]
) -> World:
    """A seeded world; equal options on the same day give equal requests."""
    midnight = clock().replace(hour=0, minute=0, second=0, microsecond=0)
    world = World(
        options=options,
        catalog=build_catalog(options.product_count),
        clock=clock,
        later=later,
        post=post,
        restart=restart,
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
            wobble = Dice(options.seed, "created", number).number(0, 900) / 1000
            add(world, world.origin + step * (number + wobble))
    return world


def add_fulfillment(
    world: World,
    created: datetime,
    scenario: str | None = None,
    *,
    product: Product | None = None,
) -> FulfillmentRequest:
    """One more fulfillment request, pending, with its conversation."""
    number = len(world.requests)
    scenario = scenario or _fulfillment_scenario(number)
    kind = scenario if scenario in _OTHER_TYPES else "purchase"
    products = world.catalog.products
    record = FulfillmentRequest(
        number=number,
        seed=world.options.seed,
        product=product or Dice(world.options.seed, "product", number).pick(products),
        reseller=_reseller(world, number),
        type=kind,
        scenario=scenario,
        created=created,
        updated=created,
        asset_status=_ASSET_STATUS.get(kind, "processing"),
    )
    world.requests.add(record)
    world.assets.add(Asset(record))
    world.conversations.add(Conversation(number, record.id, created))
    return _known(world, record)


def add_tier_config(
    world: World, created: datetime, scenario: str | None = None
) -> TierConfigRequest:
    """One more tier config request, pending; no two concern the same reseller and product."""
    number = len(world.tier_requests)
    scenario = scenario or ("update" if number % 4 == 3 else "setup")
    products = world.catalog.products
    record = TierConfigRequest(
        number=number,
        seed=world.options.seed,
        product=products[number % len(products)],
        reseller=number // len(products),
        type=scenario,
        scenario=scenario,
        created=created,
        updated=created,
        events=opening_events(created),
        config_status="active" if scenario == "update" else "processing",
    )
    world.tier_requests.add(record)
    world.tier_configs.add(TierConfig(record))
    return _known(world, record)


def add_usage_file(world: World, created: datetime, scenario: str | None = None) -> UsageFile:
    """One more usage file that the vendor has uploaded by hand."""
    number = len(world.usage_files)
    dice = Dice(world.options.seed, "usage-file", number)
    scenario = scenario or ("invalid" if number % 10 == 9 else "ready")
    product = world.catalog.products[number % len(world.catalog.products)]
    bad = dice.number(1, 5) if scenario == "invalid" else 0
    record = UsageFile(
        number=number,
        product=product,
        contract=product.contract,
        name=f"Usage of {created:%B %Y}, part {number + 1}",
        description=dice.pick(["", "Uploaded by hand"]),
        created=created,
        scenario=scenario,
        status=scenario,
        capitals=dice.chance(25),
        events={"uploaded": created},
        uploads=0,
        records_valid=dice.number(1, 60),
        records_invalid=bad,
        error_details=f"{bad} records could not be read" if bad else None,
    )
    return _known(world, world.usage_files.add(record))


def add_listing(
    world: World, created: datetime, scenario: str | None = None, *, contract_id: str = ""
) -> Listing:
    """One more listing, under a contract of its own."""
    number = len(world.listings)
    record = Listing(
        number=number,
        seed=world.options.seed,
        product=world.catalog.products[number % len(world.catalog.products)],
        created=created,
        scenario=scenario or "listed",
        contract_id=contract_id,
    )
    return _known(world, world.listings.add(record))


#: How to add one request of each kind, and the scenarios that a caller may ask for.
ADDERS: dict[str, tuple[Callable[[World, datetime, str | None], Request], tuple[str, ...]]] = {
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
    turn, place = divmod(number, len(_ROTA))
    return _ROTA[place] or _OTHER_TYPES[(turn * 3 + place) % len(_OTHER_TYPES)]


def _reseller(world: World, number: int) -> int:
    """A reseller that also has a tier config request for the same product, where there is one."""
    products = len(world.catalog.products)
    resellers = max(1, world.options.spread.tier_config // products)
    return (number // products) % resellers


def _known(world: World, record: R) -> R:
    world.initial_status[record.id] = record.status
    world.webhooks.announce(record)
    return record
