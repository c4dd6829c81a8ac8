"""Finds the user's automations and validations, and checks what they declare.

They are in the modules that `CONNECT_PROCESSORS` names.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

from connect_worker import compat
from connect_worker.domain.interpretation import interpret
from connect_worker.domain.kinds import VALIDATION_TYPES, Crontab, is_crontab, last_time
from connect_worker.domain.outcomes import Outcome, Skip
from connect_worker.domain.retry import ErrorRules
from connect_worker.domain.states import PRIORITIES, RequestKind, Route
from connect_worker.exceptions import (
    InvalidDecision,
    Message,
    RegistrationError,
    RetryRequest,
)
from connect_worker.resources.automation import (
    FILE_PREFIX,
    PARK,
    Automation,
    LocalAutomation,
    importing,
    name_of,
    product_list,
)
from connect_worker.resources.validation import ALLOW, HOLD, Validation
from connect_worker.settings.environment import QUEUE_NAME

T = TypeVar("T")

_PACKAGE: Final = f"{__package__}."

#: How alike two names are, at least, of which one is a misspelling of the other.
_ALIKE: Final = 0.85


def find_automations(names: Iterable[str]) -> list[type[Automation[Any]]]:
    """Return the automations in the modules, each once, in their order.

    Raises:
        RegistrationError: A module can't be imported, or has no automation of the name given.
    """
    return [found for found in _find(names) if issubclass(found, Automation)]


def find_validations(names: Iterable[str]) -> list[type[Validation[Any]]]:
    """Return the validations in the modules, each once, in their order.

    Raises:
        RegistrationError: A module can't be imported, a class declares what is not possible, or two
            validate the same.
    """
    validations = leaves([found for found in _find(names) if issubclass(found, Validation)])
    for validation in validations:
        require_valid(validation)
    _require_distinct(validations)
    return validations


def leaves(classes: Sequence[type[T]]) -> list[type[T]]:
    """Return the classes that are not only the bases of others."""
    return [
        candidate
        for candidate in classes
        if not any(other is not candidate and issubclass(other, candidate) for other in classes)
    ]


def _find(names: Iterable[str]) -> list[type[Automation[Any]] | type[Validation[Any]]]:
    found: dict[type[Automation[Any]] | type[Validation[Any]], None] = {}
    for target in names:
        name, only = split_target(target)
        contents = vars(_module(name))
        if only and not _is_of_user(contents.get(only)):
            raise RegistrationError(f"CONNECT_PROCESSORS: {name} has no automation {only}")
        for value in [contents[only]] if only else contents.values():
            if _is_of_user(value):
                found[value] = None
            elif method := _misspelled_method(value):
                raise RegistrationError(
                    f"CONNECT_PROCESSORS: {value.__name__} in {name} has no {method[1]}, but "
                    f"{method[0]}: rename it"
                )
            elif _is_local(value):
                raise RegistrationError(
                    f"CONNECT_PROCESSORS: {value.__name__} in {name} is for tier account requests, "
                    "which a worker does not process: name the other automations of the module "
                    f"({name}:NAME), and call its process() in a script"
                )
            elif _is_foreign(value):
                raise RegistrationError(
                    f"CONNECT_PROCESSORS: {value.__name__} in {name} is an automation of the "
                    f"`connect` of {compat.real_connect()}"
                )
    return list(found)


def rules_of(automation: type[Automation[Any]], name: str = "") -> ErrorRules:
    """Return what an automation declares about errors, retries and its time limit.

    Args:
        automation: The class.
        name: Its name in an error message.

    Raises:
        RegistrationError: An attribute has a value that is not possible; the message names it.
    """
    name = name or automation.__qualname__
    rules = ErrorRules(
        retry_on=_exceptions(automation, name, "retry_on"),
        give_up_on=_exceptions(automation, name, "give_up_on"),
        when_exhausted=_exhausted_outcome(automation, name),
        give_up_after=_seconds(automation, name, "give_up_after"),
        time_limit=_seconds(automation, name, "time_limit"),
    )
    _require_schedule(automation, name)
    _require_known_attributes(automation, name, _ATTRIBUTES)
    if both := set(rules.retry_on) & set(rules.give_up_on):
        names = ", ".join(sorted(item.__name__ for item in both))
        raise RegistrationError(f"{name} has {names} in both retry_on and give_up_on: decide")
    return rules


#: The attributes by which an automation declares what the worker does.
_ATTRIBUTES: Final = (
    *("products", "max_concurrency", "retry_on", "give_up_on", "when_exhausted", "give_up_after"),
    *("queue", "priority", "time_limit", "period", "schedule"),
)


def _exceptions(
    automation: type[Automation[Any]], name: str, attribute: str
) -> tuple[type[Exception], ...]:
    value: object = getattr(automation, attribute)
    classes = tuple(value) if isinstance(value, (tuple, list, set, frozenset)) else (value,)
    for item in classes:
        if not (isinstance(item, type) and issubclass(item, Exception)):
            raise RegistrationError(
                f"{name} has {attribute} = {value!r}: give exception classes, such as "
                f"{attribute} = (TimeoutError,)"
            )
    return classes


def _seconds(automation: type[Automation[Any]], name: str, attribute: str) -> float | None:
    value: object = getattr(automation, attribute)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not value > 0
        or math.isinf(value)
    ):
        raise RegistrationError(
            f"{name} has {attribute} = {value!r}: give seconds, more than 0, or None for no limit"
        )
    return float(value)


def _require_schedule(automation: type[Automation[Any]], name: str) -> None:
    value: object = getattr(automation, "schedule", None)
    if automation.kind is not RequestKind.USAGE:
        if is_crontab(value):
            raise RegistrationError(
                f"{name} has a schedule, which is for usage listings: {automation.kind} requests "
                "are processed as they come"
            )
        return
    if value is not None and not is_crontab(value):
        raise RegistrationError(
            f"{name} has schedule = {value!r}: give a celery.schedules.crontab, such as "
            "crontab(hour=3, minute=0), or None"
        )
    if value is not None and last_time(cast("Crontab", value), time.time()) is None:
        raise RegistrationError(f"{name} has schedule = {value!r}, which never comes")


def _exhausted_outcome(automation: type[Automation[Any]], name: str) -> Outcome | None:
    """Return the outcome after the last attempt; None to park the request."""
    value = automation.when_exhausted
    if value == PARK:
        return None
    refusal = (
        f"{name} has when_exhausted = {value!r}: give 'park', or the decision itself as it would "
        "be raised, such as FailRequest('We could not set it up')"
    )
    if not isinstance(value, Message) or isinstance(value, RetryRequest):
        raise RegistrationError(refusal)

    def decide() -> None:
        raise value

    try:
        outcome = interpret(automation.kind, decide)
    except InvalidDecision as error:
        raise RegistrationError(f"{name}: when_exhausted: {error}; 'park' it") from error
    except Message as error:
        raise RegistrationError(refusal) from error
    if isinstance(outcome, Skip):
        raise RegistrationError(
            f"{name}: when_exhausted: to skip decides nothing, and the attempts would start again"
        )
    return outcome


def route_of(automation: type[Automation[Any]], name: str) -> Route:
    """Return the queue and the priority of messages about an automation's requests.

    Raises:
        RegistrationError: The queue or the priority is not possible.
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


def max_concurrency_of(automation: type[Automation[Any]]) -> int | None:
    """Return how many of an automation's requests may run at once; None for no limit.

    Raises:
        RegistrationError: It is no whole number above 0.
    """
    most: object = automation.max_concurrency
    if most is None:
        return None
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise RegistrationError(
            f"{name_of(automation)} has max_concurrency = {most!r}: give a whole number above 0, "
            "or None for no limit"
        )
    return most


def require_valid(validation: type[Validation[Any]]) -> None:
    """Check what a class declares.

    Raises:
        RegistrationError: A value is not possible; the message names it.
    """
    name = name_of(validation)
    _require_known_attributes(
        validation, name, ("webhook_types", "products", "on_failure", "failure_message")
    )
    possible = [text for text, kind in VALIDATION_TYPES.items() if kind is validation.kind]
    types: object = validation.webhook_types
    if (
        isinstance(types, str)
        or not isinstance(types, Sequence)
        or not types
        or any(text not in possible for text in types)
    ):
        raise RegistrationError(
            f"{name} has webhook_types = {types!r}: give a list of {', '.join(possible)}"
        )
    if validation.on_failure not in (ALLOW, HOLD):
        raise RegistrationError(
            f"{name} has on_failure = {validation.on_failure!r}: give 'allow' or 'hold'"
        )
    message: object = validation.failure_message
    if not (isinstance(message, str) and message.strip()):
        raise RegistrationError(f"{name} has failure_message = {message!r}: give a text")


def _require_known_attributes(automation: type, name: str, attributes: Collection[str]) -> None:
    """Refuse an attribute of the user's that is almost one that the package knows.

    Raises:
        RegistrationError: There is one; the message names both.
    """
    for attribute, known in _misspelled(automation, attributes):
        value: object = inspect.getattr_static(automation, attribute)
        if hasattr(value, "__get__") or attribute in attributes:
            # A method or a property of the user's own, or an attribute of another kind.
            continue
        raise RegistrationError(
            f"{name} has {attribute} = {value!r}, which has no effect: write {known}, or begin the "
            "name with an underscore if it is your own"
        )


def _misspelled(automation: type, known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that the user's class defines and that is almost a known one, with that one.

    Names that this package has, private ones, and constants in capitals are no misspellings.
    """
    plain = {name.replace("_", ""): name for name in known}
    own = [item for item in automation.__mro__ if not item.__module__.startswith(_PACKAGE)]
    base = next(item for item in automation.__mro__ if item.__module__.startswith(_PACKAGE))
    for name in [name for item in own for name in vars(item)]:
        if name.startswith("_") or name.isupper() or hasattr(base, name):
            continue
        for close in get_close_matches(name.lower().replace("_", ""), plain, 1, _ALIKE):
            yield name, plain[close]


def _require_distinct(validations: Sequence[type[Validation[Any]]]) -> None:
    """Check that each type of webhook has one validation for each product.

    Raises:
        RegistrationError: Two claim the same.
    """
    known: dict[tuple[str, str], type[Validation[Any]]] = {}
    for validation in validations:
        for webhook_type in validation.webhook_types:
            for product in product_list(validation.products) or [""]:
                other = known.setdefault((webhook_type, product), validation)
                if other is not validation:
                    what = product or "all other products"
                    raise RegistrationError(
                        f"{name_of(other)} and {name_of(validation)} both validate {webhook_type} "
                        f"for {what}: keep one"
                    )


def split_target(target: str) -> tuple[str, str]:
    """Split `module:Name`; the name is "" where there is none.

    The colon after a drive's letter does not count.
    """
    name, colon, only = target.rpartition(":")
    return (name, only) if colon and only.isidentifier() else (target, "")


def _is_of_user(value: object) -> bool:
    """Whether it is a class with a `process_request` or a `validate` of the user, or inherited."""
    if not inspect.isclass(value) or value.__name__.startswith("_"):
        return False
    if issubclass(value, Validation):
        return value.validate is not Validation.validate
    return issubclass(value, Automation) and value.process_request is not Automation.process_request


def _misspelled_method(value: object) -> tuple[str, str] | None:
    """Return the method that is almost called as the one that a class lacks, and that one."""
    if not inspect.isclass(value):
        return None
    if issubclass(value, Validation):
        return next(_misspelled(value, ["validate"]), None)
    if issubclass(value, Automation):
        return next(_misspelled(value, ["process_request"]), None)
    return None


def _is_local(value: object) -> bool:
    """Whether it is a user's `TierAccountRequestAutomation`; the package's own has the base."""
    return (
        inspect.isclass(value)
        and issubclass(value, LocalAutomation)
        and LocalAutomation not in value.__bases__
    )


def _is_foreign(value: object) -> bool:
    """Whether it is an automation of the real SDK, which the worker can't run."""
    return (
        inspect.isclass(value)
        and not issubclass(value, Automation)
        and hasattr(value, "process_request")
        and compat.comes_from_real(value)
        and not compat.is_real(value.__module__)
    )


def _module(name: str) -> ModuleType:
    try:
        with importing(name):
            return _from_path(Path(name)) if name.endswith(".py") else _from_name(name)
    except RegistrationError:
        raise
    except (Exception, SystemExit) as exc:
        real = compat.real_connect() if compat.comes_from_real(exc) else None
        raise RegistrationError(
            f"CONNECT_PROCESSORS: {name} can't be imported: {type(exc).__name__}: {exc}"
            + (f"; its `connect` is that of {real}" if real else "")
        ) from exc


def _from_name(name: str) -> ModuleType:
    # A console script's sys.path has no working directory, which is where a vendor's modules are.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    _alias_connect()
    return importlib.import_module(name)


def _from_path(path: Path) -> ModuleType:
    if not path.is_file():
        raise RegistrationError(f"CONNECT_PROCESSORS: the file {path} does not exist")
    path = path.resolve()
    # Two files in different folders may have the same name.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"{FILE_PREFIX}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        # A script may import modules of its folder; at the end of the path these hide no others.
        sys.path.append(str(path.parent))
    _alias_connect()
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RegistrationError(f"CONNECT_PROCESSORS: {path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _alias_connect() -> None:
    """Let modules written for the 2019 SDK import `connect`, unless there is a real one for them.

    Called when `sys.path` is complete for the module.
    """
    if compat.is_installed() or compat.real_connect() is None:
        compat.install()
