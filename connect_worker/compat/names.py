"""Which of this project's modules stands for which module of the SDK.

A module of the same name does, and for the others there is a table: the SDK had a module for nearly
every class, under names that changed over its releases (16 to 22, of 2019 and 2020). A module whose
classes this project does not have is not in it.
"""

from __future__ import annotations

import importlib
from pkgutil import iter_modules
from typing import Final

#: The SDK's top package, and ours.
THEIRS: Final = "connect"
OURS: Final = "connect_worker"

#: What the SDK's users import from; the worker's other rooms never were under that name.
_PUBLIC: Final = ("config", "exceptions", "logger", "models", "resources", "rql")
_PACKAGES: Final = ("models", "resources")

#: By module of ours, the modules of the SDK whose classes are in it.
_HOLDS: Final = {
    "models.activation": "activation_template_response activation_tile_response",
    "models.agreement": "agreement_stats",
    "models.contact": "contact_info phone_number",
    "models.conversation": "conversation_message",
    "models.event": "events",
    "models.fulfillment": "asset_request",
    "models.hub": "ext_id_hub hub_instance hub_stats",
    "models.product": "customer_ui_settings document download_link product_category "
    "product_configuration product_configuration_parameter product_family product_stats "
    "product_stats_info",
    "models.server_error": "server_error_response",
    "models.tier_account": "tier_accounts",
    "models.usage_record": "usage_records",
    "resources.fulfillment": "fulfillment_automation",
    "resources.tier_config": "tier_config_automation",
    "resources.usage": "usage_automation",
    "resources.usage_file": "usage_file_automation",
}

_RENAMED: Final = {
    f"{home.partition('.')[0]}.{name}": home
    for home, names in _HOLDS.items()
    for name in names.split()
} | {
    "logger.logger": "logger",
    "rql.query": "rql",
    # What the package was called until release 16; its reference still says so in places.
    "resource": "resources",
    "models.exception": "exceptions",
}


def counterparts() -> dict[str, str]:
    """Give every name below `connect`, and the name of our module that it stands for."""
    below = {name: name for name in _PUBLIC}
    for package in _PACKAGES:
        found = iter_modules(importlib.import_module(f"{OURS}.{package}").__path__)
        names = [f"{package}.{module.name}" for module in found if not module.name.startswith("_")]
        below.update(zip(names, names, strict=True))
    below.update(_RENAMED)
    return {THEIRS: OURS} | {f"{THEIRS}.{name}": f"{OURS}.{ours}" for name, ours in below.items()}
