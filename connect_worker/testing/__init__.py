"""The test kit for authors of processors: builders of requests, and runs without network.

`docs/testing.md` shows a whole test file. pytest finds the fixtures automatically. A
name is imported when it is first used: a test that only builds requests loads no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connect_worker.domain.outcomes import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    NoDecision,
    Outcome,
    Report,
    Skip,
)
from connect_worker.domain.states import RequestKey, RequestKind, State

if TYPE_CHECKING:
    from connect_worker.dry_run.record import NotInRecord, Record
    from connect_worker.dry_run.runner import DryRun, ValidationRun
    from connect_worker.dry_run.transport import Call
    from connect_worker.testing.builders import (
        cancel,
        change,
        purchase,
        resume,
        suspend,
        tier_setup,
        tier_update,
        usage_file,
        usage_listing,
    )
    from connect_worker.testing.runner import recorded, run

__all__ = [
    "Approve",
    "Call",
    "DryRun",
    "Fail",
    "FileAction",
    "Inquire",
    "NoDecision",
    "NotInRecord",
    "Outcome",
    "Record",
    "Report",
    "RequestKey",
    "RequestKind",
    "Skip",
    "State",
    "ValidationRun",
    "cancel",
    "change",
    "purchase",
    "recorded",
    "resume",
    "run",
    "suspend",
    "tier_setup",
    "tier_update",
    "usage_file",
    "usage_listing",
]

#: The module of each name that is imported on first use; the rest are builders.
_MODULES = {
    "Call": "dry_run.transport",
    "DryRun": "dry_run.runner",
    "NotInRecord": "dry_run.record",
    "Record": "dry_run.record",
    "ValidationRun": "dry_run.runner",
    "recorded": "testing.runner",
    "run": "testing.runner",
}

if not TYPE_CHECKING:  # A type checker that saw this would accept misspelled names.

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"connect_worker.{_MODULES.get(name, 'testing.builders')}")
        # From now on the name is found without this function.
        value = globals()[name] = getattr(module, name)
        return value
