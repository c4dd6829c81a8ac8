"""What Connect says: each of its objects as a typed model, declared once.

A model is made of a JSON document (`deserialize`, `deserialize_json`) or by keyword, read and
changed by attribute, and gives its document back as `json`: equal to the one that came, but for
what has been changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_worker._deprecated import earlier
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
    Period,
    PhoneNumber,
    ServerErrorResponse,
    Template,
    User,
)
from connect_worker.models.products import (
    Constraints,
    CustomerUiSettings,
    Document,
    DownloadLink,
    Item,
    Param,
    Product,
    ProductCategory,
    ProductConfiguration,
    ProductConfigurationParameter,
    ProductFamily,
    ProductStats,
    ProductStatsInfo,
    Renewal,
    ValueChoice,
)
from connect_worker.models.requests import (
    Asset,
    AssetRequest,
    Configuration,
    Connection,
    Conversation,
    ConversationMessage,
    Fulfillment,
    TierConfig,
    TierConfigRequest,
)
from connect_worker.models.usage import (
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
    __getattr__ = earlier(__name__, {name: f"exceptions.{name}" for name in _DECISIONS})

__all__ = [
    "Activation",
    "ActivationTemplateResponse",
    "ActivationTileResponse",
    "Agreement",
    "AgreementStats",
    "Asset",
    "AssetRequest",
    "BaseModel",
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
    "Renewal",
    "ServerErrorResponse",
    "Template",
    "TierAccount",
    "TierAccounts",
    "TierConfig",
    "TierConfigRequest",
    "UsageFile",
    "UsageListing",
    "UsageRecord",
    "UsageRecords",
    "UsageStats",
    "User",
    "ValueChoice",
]
