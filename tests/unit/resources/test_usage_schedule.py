"""When a listing's report is due, by Celery's own `crontab`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import crontab, schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_worker.config import Config
from connect_worker.domain.kinds import is_crontab, last_time
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError
from connect_worker.resources import FulfillmentAutomation, UsageAutomation
from connect_worker.resources.discovery import rules_of
from connect_worker.resources.processor import AutomationProcessor

NOON = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)


def last(found: crontab, now: datetime = NOON) -> str:
    at = last_time(found, now.timestamp())
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("found", "at"),
    [
        (crontab(), "2026-11-18 12:30"),
        (crontab(minute=0), "2026-11-18 12:00"),
        (crontab(minute=31), "2026-11-18 11:31"),
        (crontab(hour=3, minute=0), "2026-11-18 03:00"),
        (crontab(hour=13, minute=0), "2026-11-17 13:00"),
        (crontab(day_of_month=1, hour=3, minute=5), "2026-11-01 03:05"),
        (crontab(day_of_month=31, hour=0, minute=0), "2026-10-31 00:00"),
        (crontab(day_of_week="sun", hour=23, minute=59), "2026-11-15 23:59"),
        (crontab(day_of_week=3, hour="2,5", minute="10,50"), "2026-11-18 05:50"),
        (crontab(month_of_year=2, day_of_month=29, hour=0, minute=0), "2024-02-29 00:00"),
        (crontab(month_of_year=2, day_of_month=30), "never"),
    ],
)
def test_the_last_time_is_the_schedules(found: crontab, at: str) -> None:
    assert last(found) == at


NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day_of_week": (0, 6), "day_of_month": (1, 28)}


@given(
    st.fixed_dictionaries(
        {
            name: st.sets(st.integers(*span), min_size=2, max_size=5).map(
                lambda found: ",".join(map(str, sorted(found)))
            )
            for name, span in NUMBERS.items()
        }
    ),
    st.integers(0, 3 * 365 * 1440),
)
@settings(max_examples=30, deadline=None)
def test_no_minute_from_then_on_is_one_of_the_schedules(
    fields: dict[str, str], minutes: int
) -> None:
    found, now = crontab(**fields), NOON - timedelta(minutes=minutes)
    at = last_time(found, now.timestamp())
    assert at is not None
    minute = datetime.fromtimestamp(at, UTC)
    assert is_of(found, minute)
    while (minute := minute + timedelta(minutes=1)) <= now:
        assert not is_of(found, minute)


def is_of(found: Any, minute: datetime) -> bool:
    return (
        minute.minute in found.minute
        and minute.hour in found.hour
        and minute.day in found.day_of_month
        and minute.isoweekday() % 7 in found.day_of_week
        and minute.month in found.month_of_year
    )


def usage(**attributes: Any) -> type[UsageAutomation]:
    return type("Usage", (UsageAutomation,), attributes)


@pytest.mark.parametrize(
    ("now", "cycle"),
    [
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), "2026-11"),
        (datetime(2026, 12, 2, 2, 59, tzinfo=UTC), "2026-11"),
        (datetime(2026, 12, 2, 3, 0, tzinfo=UTC), "2026-12"),
    ],
)
def test_a_report_is_not_due_before_its_time(now: datetime, cycle: str) -> None:
    due = crontab(day_of_month=2, hour=3, minute=0)
    config = Config.local("https://connect.invalid/public/v1", "SU-000-000-000:key")
    kind, made = RequestKind.USAGE, usage(period="month", schedule=due)
    processor = AutomationProcessor(kind, lambda: made(config), config)
    sighting = processor.pending_request({"id": "LST-000-000-000"}, now=now.timestamp())
    assert (sighting.ref.id, sighting.cycle) == (f"LST-000-000-000@{cycle}", cycle)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0 3 * * *", "give a celery.schedules.crontab"),
        (schedule(60), "give a celery.schedules.crontab"),
        (crontab(month_of_year=2, day_of_month=30), "which never comes"),
    ],
)
def test_a_schedule_that_can_not_be_is_refused(given: object, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        rules_of(usage(schedule=given))


def test_what_comes_by_itself_has_no_schedule() -> None:
    automation = type("Orders", (FulfillmentAutomation,), {"schedule": crontab()})
    with pytest.raises(RegistrationError, match="is for usage listings"):
        rules_of(automation)
    # Somebody's own attribute of that name is nobody else's matter.
    rules_of(type("Orders", (FulfillmentAutomation,), {"schedule": "mine"}))
    assert not is_crontab(None)
