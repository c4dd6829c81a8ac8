"""What Connect says: each of its objects as a typed model, declared once.

A model is made of a JSON document (`deserialize`, `deserialize_json`) or by keyword, read and
changed by attribute, and gives its document back as `json`: equal to the one that came, but for
what has been changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_worker.earlier import earlier
from connect_worker.models.activation import (
    Activation,
    ActivationTemplateResponse,
    ActivationTileResponse,
)
from connect_worker.models.agreement import Agreement, AgreementStats
from connect_worker.models.asset import Asset
from connect_worker.models.base import BaseModel
from connect_worker.models.company import Company
from connect_worker.models.configuration import Configuration
from connect_worker.models.connection import Connection
from connect_worker.models.constraints import Constraints, ValueChoice
from connect_worker.models.contact import Contact, ContactInfo, PhoneNumber
from connect_worker.models.contract import Contract
from connect_worker.models.conversation import Conversation, ConversationMessage
from connect_worker.models.country import Country
from connect_worker.models.event import Event, Events
from connect_worker.models.fulfillment import AssetRequest, Fulfillment
from connect_worker.models.hub import ExtIdHub, Hub, HubInstance, HubStats
from connect_worker.models.item import Item
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.param import Param
from connect_worker.models.period import Period
from connect_worker.models.product import (
    CustomerUiSettings,
    Document,
    DownloadLink,
    Product,
    ProductCategory,
    ProductConfiguration,
    ProductConfigurationParameter,
    ProductFamily,
    ProductStats,
    ProductStatsInfo,
)
from connect_worker.models.renewal import Renewal
from connect_worker.models.server_error import ServerErrorResponse
from connect_worker.models.template import Template
from connect_worker.models.tier_account import TierAccount, TierAccounts
from connect_worker.models.tier_config import TierConfig
from connect_worker.models.tier_config_request import TierConfigRequest
from connect_worker.models.usage_file import UsageFile
from connect_worker.models.usage_listing import UsageListing
from connect_worker.models.usage_record import UsageRecord, UsageRecords, UsageStats
from connect_worker.models.user import User

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
