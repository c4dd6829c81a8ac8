"""What users subclass and call: the automations of the four kinds, the directory, the templates."""

from typing import TYPE_CHECKING

from connect_worker._deprecated import deprecated_names
from connect_worker.resources.automation import Automation
from connect_worker.resources.directory import Directory, MarketplaceResource, TemplateResource
from connect_worker.resources.fulfillment import (
    AssetRequestResource,
    FulfillmentAutomation,
    ValidationAutomation,
)
from connect_worker.resources.runner import LOCAL_RUNNER
from connect_worker.resources.tier_config import (
    TierAccountRequestAction,
    TierAccountRequestAutomation,
    TierConfigAutomation,
    TierConfigValidationAutomation,
)
from connect_worker.resources.usage import UsageAutomation, UsageFileAutomation

if not TYPE_CHECKING:
    _ENGINE = "subclass the automation of a kind, such as connect_worker.FulfillmentAutomation"
    __getattr__ = deprecated_names(
        __name__,
        {
            "BillingRequest": "models.BillingRequest",
            "FulfillmentResource": "resources.fulfillment.FulfillmentResource",
            "RecurringAsset": "models.RecurringAsset",
        },
        {
            "AutomationEngine": _ENGINE,
            "AutomationResource": _ENGINE,
            "joinurl": "use urllib.parse.urljoin",
        },
    )

__all__ = [
    "AssetRequestResource",
    "Directory",
    "FulfillmentAutomation",
    "MarketplaceResource",
    "TemplateResource",
    "TierAccountRequestAction",
    "TierAccountRequestAutomation",
    "TierConfigAutomation",
    "TierConfigValidationAutomation",
    "UsageAutomation",
    "UsageFileAutomation",
    "ValidationAutomation",
]

# The local runner imports the automations, and their `process()` calls it: here the two meet.
Automation._local_runner = LOCAL_RUNNER
