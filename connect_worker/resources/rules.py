"""The class attributes of an automation as its processor's rules; checked at the start."""

from __future__ import annotations

import math
import time
from typing import Any, cast

from connect_worker.environment import QUEUE_NAME
from connect_worker.exceptions import InvalidDecision, Message, RegistrationError, RetryRequest
from connect_worker.processing.judge import judge
from connect_worker.processing.outcome import Outcome, Skip
from connect_worker.processing.routes import PRIORITIES, Route
from connect_worker.processing.rules import Rules
from connect_worker.processing.states import Kind
from connect_worker.resources.automation import PARK, Automation
from connect_worker.resources.schedule import Crontab, is_crontab, last_time


def rules_of(automation: type[Automation[Any]], name: str = "") -> Rules:
    """Return what an automation says of its errors, its patience and its time.

    Args:
        automation: The class.
        name: What to call it in an error.

    Raises:
        RegistrationError: An attribute says what can't be; names it.
    """
    name = name or automation.__qualname__
    rules = Rules(
        retry_on=_exceptions(automation, name, "retry_on"),
        give_up_on=_exceptions(automation, name, "give_up_on"),
        when_exhausted=_last_word(automation, name),
        give_up_after=_seconds(automation, name, "give_up_after"),
        time_limit=_seconds(automation, name, "time_limit"),
    )
    _require_schedule(automation, name)
    if both := set(rules.retry_on) & set(rules.give_up_on):
        names = ", ".join(sorted(one.__name__ for one in both))
        raise RegistrationError(f"{name} has {names} in both retry_on and give_up_on: decide")
    return rules


def _exceptions(
    automation: type[Automation[Any]], name: str, attribute: str
) -> tuple[type[Exception], ...]:
    given: object = getattr(automation, attribute)
    found = tuple(given) if isinstance(given, (tuple, list, set, frozenset)) else (given,)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise RegistrationError(
                f"{name} has {attribute} = {given!r}: give exception classes, such as "
                f"{attribute} = (TimeoutError,)"
            )
    return found


def _seconds(automation: type[Automation[Any]], name: str, attribute: str) -> float | None:
    given: object = getattr(automation, attribute)
    if given is None:
        return None
    if (
        isinstance(given, bool)
        or not isinstance(given, (int, float))
        or not given > 0
        or math.isinf(given)
    ):
        raise RegistrationError(
            f"{name} has {attribute} = {given!r}: give seconds, more than 0, or None for no limit"
        )
    return float(given)


def _require_schedule(automation: type[Automation[Any]], name: str) -> None:
    given: object = getattr(automation, "schedule", None)
    if automation.kind is not Kind.USAGE:
        if is_crontab(given):
            raise RegistrationError(
                f"{name} has a schedule, which is for usage listings: {automation.kind} requests "
                "are processed as they come"
            )
        return
    if given is not None and not is_crontab(given):
        raise RegistrationError(
            f"{name} has schedule = {given!r}: give a celery.schedules.crontab, such as "
            "crontab(hour=3, minute=0), or None"
        )
    if given is not None and last_time(cast("Crontab", given), time.time()) is None:
        raise RegistrationError(f"{name} has schedule = {given!r}, which never comes")


def _last_word(automation: type[Automation[Any]], name: str) -> Outcome | None:
    """Return the outcome when no try is left; None for the one that every kind has: parking."""
    given = automation.when_exhausted
    if given == PARK:
        return None
    refusal = (
        f"{name} has when_exhausted = {given!r}: give 'park', or the decision itself as it would "
        "be raised, such as FailRequest('We could not set it up')"
    )
    if not isinstance(given, Message) or isinstance(given, RetryRequest):
        raise RegistrationError(refusal)

    def decide() -> None:
        raise given

    try:
        outcome = judge(automation.kind, decide)
    except InvalidDecision as error:
        raise RegistrationError(f"{name}: when_exhausted: {error}; 'park' it") from error
    except Message as error:
        raise RegistrationError(refusal) from error
    if isinstance(outcome, Skip):
        raise RegistrationError(
            f"{name}: when_exhausted: to skip decides nothing, and the tries would begin anew"
        )
    return outcome


def route_of(automation: type[Automation[Any]], name: str) -> Route:
    """Return where messages about an automation's requests wait.

    Raises:
        RegistrationError: There can be no such queue or priority.
    """
    queue: object = automation.queue
    priority: object = automation.priority
    if queue is not None and not (isinstance(queue, str) and QUEUE_NAME.fullmatch(queue)):
        raise RegistrationError(
            f"{name} has queue = {queue!r}: give a name of letters, digits, '-', '_' and '.', or "
            "None for the kind's own"
        )
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        raise RegistrationError(
            f"{name} has priority = {priority!r}: give a whole number from 0, first, to 9, last"
        )
    return Route("" if queue in (None, automation.kind.value) else str(queue), priority)
