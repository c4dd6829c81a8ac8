"""The fields by which each collection may be filtered and ordered.

Taken from the query parameters of the API description (version 37.0), as far as the objects
here have them; a name with ``__`` for ``.`` is the same field.
"""

from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.rql import FieldNames

# Which status a request may leave, and by which action.

#: action -> (statuses it starts from, the status it leads to). For fulfillment requests the
#: documentation lists pending -> inquiring, failed, approved and inquiring -> failed, approved,
#: pending; tier config requests go the same way.
REQUEST_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "approve": (frozenset({"pending", "inquiring"}), "approved"),
    "fail": (frozenset({"pending", "inquiring"}), "failed"),
    "inquire": (frozenset({"pending"}), "inquiring"),
    "pend": (frozenset({"inquiring"}), "pending"),
}

#: The same for usage files: the vendor uploads and submits, the provider accepts and closes.
USAGE_FILE_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "submit": (frozenset({"ready"}), "pending"),
    "accept": (frozenset({"pending"}), "accepted"),
    "reject": (frozenset({"pending"}), "rejected"),
    "close": (frozenset({"accepted"}), "closed"),
    "delete": (frozenset({"draft", "invalid", "ready", "rejected"}), "deleted"),
}

#: Statuses in which the records of a usage file may be uploaded (again).
UPLOADABLE = frozenset({"draft", "invalid", "ready", "rejected"})

#: Statuses in which the parameters of a request may still be changed.
CHANGEABLE = frozenset({"pending", "inquiring"})


def require_status(record_id: str, status: str, allowed: frozenset[str], action: str) -> None:
    """Refuse an action that the status does not allow.

    Raises:
        BadRequestError: with the status and the allowed ones as ``params``.
    """
    if status not in allowed:
        raise BadRequestError(
            f"{record_id} cannot {action}: its status is {status}.",
            code="STATE_001",
            params={"status": status, "allowed": sorted(allowed)},
        )


def _under(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PARTIES = _names("provider.id provider.name vendor.id vendor.name")

ASSETS = _names(
    """
    id status external_id external_uid product.id product.name contract.id
    marketplace.id marketplace.name items.id items.mpn params.id params.value
    events.created.at events.updated.at
    connection.id connection.type connection.hub.id connection.hub.name
    connection.provider.id connection.provider.name connection.vendor.id connection.vendor.name
    tiers.customer.id tiers.customer.name tiers.customer.external_id tiers.customer.external_uid
    tiers.tier1.id tiers.tier2.id
    """
)
REQUESTS = (
    *_names(
        """
        id type status created updated activation_key assignee assignee.email note
        contract.id marketplace.id marketplace.name template.id
        """
    ),
    *_under("asset", *ASSETS),
)
TIER_CONFIGS = _names(
    """
    id name status tier_level account.id account.external_id account.external_uid
    product.id product.name contract.id marketplace.id marketplace.name
    params.id params.value template.id connection.type
    """
)
TIER_REQUESTS = (
    *_names(
        """
        id type status created updated environment assignee.id assignee.name template.id
        params.id params.value events.created.at events.pended.at
        """
    ),
    *_under("configuration", *TIER_CONFIGS),
)
LISTINGS = (
    *_names(
        """
        id status created updated contract.id contract.marketplace.id contract.marketplace.name
        product.id product.name
        """
    ),
    *_PARTIES,
)
USAGE_FILES = (
    *_names(
        """
        id status name external_id environment events.created.at contract.id contract.name
        product.id product.name marketplace.id marketplace.name
        """
    ),
    *_PARTIES,
)
CONVERSATIONS = _names("id instance_id created events.created.at")
PRODUCTS = _names("id name status version owner.id category.id")
TEMPLATES = _names("id name scope type")
CONFIGURATIONS = _names(
    """
    value parameter.id parameter.scope parameter.title item.id item.name
    marketplace.id marketplace.name
    """
)
WEBHOOKS = _names("id active description label product.id product.name type")
MESSAGES = _names("id text type created events.created.at events.created.by.id")

#: Older names that the API still takes, by the collection that knows them.
_ALIASES = {
    REQUESTS: {
        "asset_id": "asset.id",
        "product_id": "asset.product.id",
        "asset.hub.id": "asset.connection.hub.id",
        "assignee.id": "assignee",
        "asset.tier1_id": "asset.tiers.tier1.id",
        "asset.tier2_id": "asset.tiers.tier2.id",
    },
    ASSETS: {
        "hub.id": "connection.hub.id",
        "hub.name": "connection.hub.name",
        "created": "events.created.at",
        "updated": "events.updated.at",
        "asset.product.id": "product.id",
    },
    TIER_REQUESTS: {"configuration": "configuration.id"},
    LISTINGS: {
        "marketplace.id": "contract.marketplace.id",
        "marketplace.name": "contract.marketplace.name",
    },
    USAGE_FILES: {
        "product_id": "product.id",
        "provider_id": "provider.id",
        "vendor_id": "vendor.id",
        "marketplace_id": "marketplace.id",
        "distribution_contract_id": "contract.id",
        "created.at": "events.created.at",
    },
}


def names_of(collection: tuple[str, ...]) -> FieldNames:
    """The check of field names for one of the collections above."""
    known = frozenset(collection)
    aliases = _ALIASES.get(collection, {})

    def canonical(name: str) -> str:
        dotted = name.replace("__", ".")
        dotted = aliases.get(name, aliases.get(dotted, dotted))
        if dotted not in known:
            raise BadRequestError(f"Bad filter query: unknown field '{name}'.", code="RQL_001")
        return dotted

    return canonical
