"""For the tests of those who write processors: requests, runs without network, fixtures.

`docs/testing.md` shows a whole test file. The fixtures come by themselves where pytest is.
"""

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
from connect_worker.dry_run.capturing_transport import Call
from connect_worker.dry_run.record import NotInRecord, Record
from connect_worker.dry_run.runner import DryRun
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
from connect_worker.testing.running import recorded, run

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
