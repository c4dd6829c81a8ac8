"""Runs vendors' processors for Connect's pending requests; posts each decision exactly once."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:  # A type checker that saw this would let misspelt names pass.

    def __getattr__(name: str) -> Any:
        # `connect_worker.compat` makes this package the SDK's `connect`, whose import brought these
        # modules along, and which had these classes itself until its release 16.
        if name in ("config", "exceptions", "logger", "models", "resources"):
            return importlib.import_module(f"{__name__}.{name}")
        if name in ("FulfillmentAutomation", "TierConfigAutomation"):
            warnings.warn(
                f"{name} is in {__name__}.resources now", DeprecationWarning, stacklevel=2
            )
            return getattr(importlib.import_module(f"{__name__}.resources"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
