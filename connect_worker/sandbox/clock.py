"""The time as Connect writes it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def exact(moment: datetime) -> str:
    """With microseconds, as fulfillment requests show it."""
    return moment.isoformat(timespec="microseconds")


def whole_seconds(moment: datetime) -> str:
    """Without fractions, as events and usage files show it."""
    return moment.isoformat(timespec="seconds")
