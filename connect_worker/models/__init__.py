"""Connect's objects as typed models, each declared once.

A model is made from a JSON document (`deserialize`, `deserialize_json`) or from keyword arguments.
Its attributes are read and changed; `json` is its document: as it came, with the changes.

Dates and times are naive and in UTC. `moment.replace(tzinfo=UTC)` makes an aware one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_worker._deprecated import SCHEMAS, deprecated_names
from connect_worker.models.accounts import (
    Agreement,
    AgreementStats,
    Contract,
    TierAccount,
    TierAccounts,
)
from connect_worker.models.base import (
    BaseModel,
)
from connect_worker.models.common import (
    Activation,
    ActivationTemplateResponse,
    ActivationTileResponse,
    Company,
    Constraints,
    Contact,
    ContactInfo,
    Country,
    Event,
    Events,
    ExtIdHub,
    Hub,
    HubInstance,
    HubStats,
    Marketplace,
    Param,
    Period,
    PhoneNumber,
    ServerErrorResponse,
    Template,
    User,
    ValueChoice,
)
from connect_worker.models.products import (
    UI,
    Commitment,
    CustomerUiSettings,
    Document,
    DownloadLink,
    Item,
    Product,
    ProductCategory,
    ProductConfiguration,
    ProductConfigurationParameter,
    ProductFamily,
    ProductStats,
    ProductStatsInfo,
    Renewal,
    Unit,
)
from connect_worker.models.requests import (
    Asset,
    AssetRequest,
    Configuration,
    Connection,
    Conversation,
    ConversationMessage,
    Fulfillment,
    TierAccountRequest,
    TierConfig,
    TierConfigRequest,
)
from connect_worker.models.usage import (
    Anniversary,
    Attributes,
    Billing,
    BillingRequest,
    LastRequest,
    RecurringAsset,
    Stat,
    Stats,
    UsageFile,
    UsageListing,
    UsageRecord,
    UsageRecords,
    UsageStats,
)

if not TYPE_CHECKING:
    _DECISIONS = (
        "AcceptUsageFile",
        "CloseUsageFile",
        "DeleteUsageFile",
        "FailRequest",
        "InquireRequest",
        "RejectUsageFile",
        "SkipRequest",
        "SubmitUsageFile",
    )
    _RENAMED = {
        "Account": "TierAccount",
        "BaseObject": "BaseModel",
        "EventInfo": "Event",
        "Hubs": "ExtIdHub",
        "ServerError": "ServerErrorResponse",
        "Tier": "TierAccount",
        "Tiers": "TierAccounts",
    }
    __getattr__ = deprecated_names(
        __name__,
        {name: f"exceptions.{name}" for name in _DECISIONS}
        | {name: f"models.{now}" for name, now in _RENAMED.items()},
        SCHEMAS,
    )

__all__ = [
    "UI",
    "Activation",
    "ActivationTemplateResponse",
    "ActivationTileResponse",
    "Agreement",
    "AgreementStats",
    "Anniversary",
    "Asset",
    "AssetRequest",
    "Attributes",
    "BaseModel",
    "Billing",
    "BillingRequest",
    "Commitment",
    "Company",
    "Configuration",
    "Connection",
    "Constraints",
    "Contact",
    "ContactInfo",
    "Contract",
    "Conversation",
    "ConversationMessage",
    "Country",
    "CustomerUiSettings",
    "Document",
    "DownloadLink",
    "Event",
    "Events",
    "ExtIdHub",
    "Fulfillment",
    "Hub",
    "HubInstance",
    "HubStats",
    "Item",
    "LastRequest",
    "Marketplace",
    "Param",
    "Period",
    "PhoneNumber",
    "Product",
    "ProductCategory",
    "ProductConfiguration",
    "ProductConfigurationParameter",
    "ProductFamily",
    "ProductStats",
    "ProductStatsInfo",
    "RecurringAsset",
    "Renewal",
    "ServerErrorResponse",
    "Stat",
    "Stats",
    "Template",
    "TierAccount",
    "TierAccountRequest",
    "TierAccounts",
    "TierConfig",
    "TierConfigRequest",
    "Unit",
    "UsageFile",
    "UsageListing",
    "UsageRecord",
    "UsageRecords",
    "UsageStats",
    "User",
    "ValueChoice",
]
