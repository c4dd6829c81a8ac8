"""Runs vendors' processors for Connect's pending requests; posts each decision exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_worker._deprecated import deprecated_names

if not TYPE_CHECKING:  # A type checker that saw this would let misspelled names pass.
    # `connect_worker.compat` makes this package the SDK's `connect`, whose import brought these
    # modules along, and which had these classes itself until its release 16.
    __getattr__ = deprecated_names(
        __name__,
        {
            "FulfillmentAutomation": "resources.FulfillmentAutomation",
            "TierConfigAutomation": "resources.TierConfigAutomation",
        },
        submodules=("config", "exceptions", "logger", "models", "resources"),
    )
