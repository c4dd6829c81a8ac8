"""When usage is reported: Celery's `crontab`, read without Celery."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Protocol

#: Longer than from one 29 February to the next, at a turn of a century without one.
MOST_DAYS = 8 * 366 + 1

#: The fields of a `crontab` that are read. Each is a set of numbers; Sunday is 0.
FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class Crontab(Protocol):
    """`celery.schedules.crontab`, as far as its type is known."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Tell how long it is until the next time."""


def is_crontab(value: object) -> bool:
    """Whether a value is a `crontab`."""
    return all(isinstance(getattr(value, name, None), AbstractSet) for name in FIELDS)


def last_time(schedule: Crontab, now: float) -> float | None:
    """Return the last time of the schedule up to `now`, by UTC; both in seconds since the epoch.

    None when there was none within eight years: it is a day like 30 February.
    """
    minute, hour, *days_of = (getattr(schedule, name) for name in FIELDS)
    moment = datetime.fromtimestamp(now, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    # The times of a day; for today only those that have passed.
    minutes = sorted(60 * item + other for item in hour for other in minute)
    today = [item for item in minutes if item <= 60 * moment.hour + moment.minute]
    for days in range(MOST_DAYS):
        day = midnight - timedelta(days=days)
        facts = day.isoweekday() % 7, day.day, day.month
        times = minutes if days else today
        if times and all(fact in numbers for fact, numbers in zip(facts, days_of, strict=True)):
            return (day + timedelta(minutes=times[-1])).timestamp()
    return None
