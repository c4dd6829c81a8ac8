"""What users subclass and call: the automations of the four kinds, the directory, the templates."""

from connect_worker.resources.directory import Directory
from connect_worker.resources.fulfillment import FulfillmentAutomation
from connect_worker.resources.template import TemplateResource
from connect_worker.resources.tier_config import TierConfigAutomation
from connect_worker.resources.usage import UsageAutomation
from connect_worker.resources.usage_file import UsageFileAutomation

__all__ = [
    "Directory",
    "FulfillmentAutomation",
    "TemplateResource",
    "TierConfigAutomation",
    "UsageAutomation",
    "UsageFileAutomation",
]
