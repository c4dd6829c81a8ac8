"""What a person may pause, and pauses in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connect_worker.domain.states import ALL, Pause, RequestKind
from connect_worker.operations.formatting import clean, span

#: What can be paused beside products.
NAMES: Final = (ALL, *(kind.value for kind in RequestKind))
#: The beginning of each product's id.
PRODUCT: Final = "PRD-"


def may_pause(name: str) -> bool:
    """Whether a pause of this name holds anything: one with a slip in it would not."""
    return name in NAMES or name.startswith(PRODUCT)


def lines_of(pauses: Mapping[str, Pause], now: float) -> list[str]:
    """Return pauses for people, a line each."""
    return [line_of(name, item, now) for name, item in sorted(pauses.items())]


def line_of(name: str, pause: Pause, now: float) -> str:
    """Return one pause for people."""
    return (
        f"{clean(name)}, {_since(now - pause.since)}"
        + (f" ({clean(pause.reason)})" if pause.reason else "")
        + (f", {pause.held:,} waiting" if pause.held else "")
    )


def _since(seconds: float) -> str:
    return f"for {span(seconds)}" if seconds >= 1 else "from now on"
