"""Runs vendors' processors for Connect's pending requests; posts each decision exactly once.

Vendors write processors with the names in `__all__`. Each is loaded when it is used, so that the
import of this package costs nothing. The modules they come from, such as `connect_worker.models`,
have more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connect_worker.config import Config
    from connect_worker.exceptions import (
        AcceptUsageFile,
        CloseUsageFile,
        DeleteUsageFile,
        FailRequest,
        InquireRequest,
        RejectUsageFile,
        RetryRequest,
        SkipRequest,
        SubmitUsageFile,
    )
    from connect_worker.models import ActivationTemplateResponse, ActivationTileResponse
    from connect_worker.resources import (
        FulfillmentAutomation,
        TierConfigAutomation,
        TierConfigValidationAutomation,
        UsageAutomation,
        UsageFileAutomation,
        ValidationAutomation,
    )
    from connect_worker.rql import Query

__all__ = [
    "AcceptUsageFile",
    "ActivationTemplateResponse",
    "ActivationTileResponse",
    "CloseUsageFile",
    "Config",
    "DeleteUsageFile",
    "FailRequest",
    "FulfillmentAutomation",
    "InquireRequest",
    "Query",
    "RejectUsageFile",
    "RetryRequest",
    "SkipRequest",
    "SubmitUsageFile",
    "TierConfigAutomation",
    "TierConfigValidationAutomation",
    "UsageAutomation",
    "UsageFileAutomation",
    "ValidationAutomation",
]

#: Imported on first access: `connect_worker.compat` makes this package the SDK's `connect`,
#: whose import brought these modules along.
_SUBMODULES = ("config", "exceptions", "logger", "models", "resources")


def _module_of(name: str) -> str:
    if name.endswith("Automation"):
        return "resources"
    if name.endswith("Response"):
        return "models"
    return {"Config": "config", "Query": "rql"}.get(name, "exceptions")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # A type checker that saw this would accept misspelled names.

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_module_of(name)}"), name)
