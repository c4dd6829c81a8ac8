"""What users subclass and call: the automations of the four kinds, the directory, the templates."""

from connect_worker.resources.automation import Automation
from connect_worker.resources.directory import Directory, TemplateResource
from connect_worker.resources.fulfillment import FulfillmentAutomation
from connect_worker.resources.runner import LOCAL_RUNNER
from connect_worker.resources.tier_config import TierConfigAutomation
from connect_worker.resources.usage import UsageAutomation, UsageFileAutomation

__all__ = [
    "Directory",
    "FulfillmentAutomation",
    "TemplateResource",
    "TierConfigAutomation",
    "UsageAutomation",
    "UsageFileAutomation",
]

# The local runner imports the automations, and their `process()` calls it: here the two meet.
Automation._local_runner = LOCAL_RUNNER
