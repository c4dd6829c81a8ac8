"""How long the record of a visit that has ended is kept."""

from __future__ import annotations

from typing import Final

from connect_worker.engine.context import Engine
from connect_worker.processing.states import Kind, Ref

#: Of a visit whose request may come back: it holds the count of visits.
LONG_SECONDS: Final = 400 * 86_400.0

#: A listing's report is remembered for longer than any period that is polled again.
REPORT_SECONDS: Final = 62 * 86_400.0


def keep_seconds(engine: Engine, ref: Ref, status: str) -> float:
    """Return the seconds to keep the record of a request that Connect shows in this status."""
    if status == "inquiring":
        return LONG_SECONDS
    return REPORT_SECONDS if ref.kind is Kind.USAGE else engine.keep_seconds
