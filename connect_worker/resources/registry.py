"""The registry of a worker: which processor is for which kind and product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from connect_worker.config import Config
from connect_worker.domain.routing import Registration, Registry
from connect_worker.engine.runtime import Processor
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.automation import Automation, name_of, product_list
from connect_worker.resources.discovery import find_automations
from connect_worker.resources.processor import processor_of, route_of


def load_registry(names: Sequence[str], config: Config) -> Registry[Processor]:
    """Import the modules and register every automation in them.

    Args:
        names: Dotted module names, or paths that end in `.py`; with `:Name` at the end, one class.
        config: The account that the automations work for.

    Raises:
        RegistrationError: A module can't be imported, two automations claim the same kind and
            product, an attribute has an impossible value, or there is no automation; the message
            names it.
    """
    if not names:
        raise RegistrationError(
            "CONNECT_PROCESSORS is not set: name the modules with your automations, such as "
            "CONNECT_PROCESSORS=my_vendor.processors or CONNECT_PROCESSORS=./processors.py"
        )
    automations = list(_leaves(find_automations(names)))
    if not automations:
        raise RegistrationError(
            f"CONNECT_PROCESSORS: no automation in {', '.join(names)}: define a subclass of "
            "FulfillmentAutomation, TierConfigAutomation, UsageAutomation or UsageFileAutomation "
            "with a process_request method"
        )
    return Registry(_registration(automation, config) for automation in automations)


def _leaves(classes: list[type[Automation[Any]]]) -> Iterator[type[Automation[Any]]]:
    """Drop classes that are only the bases of others."""
    for candidate in classes:
        if not any(other is not candidate and issubclass(other, candidate) for other in classes):
            yield candidate


def _registration(automation: type[Automation[Any]], config: Config) -> Registration[Processor]:
    name, products = name_of(automation), frozenset(product_list(automation.products))
    return Registration(
        automation.kind,
        products or None,
        name,
        processor_of(automation, config),
        max_concurrency=_max_concurrency(automation),
        route=route_of(automation, name),
    )


def _max_concurrency(automation: type[Automation[Any]]) -> int | None:
    most: object = automation.max_concurrency
    if most is None:
        return None
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise RegistrationError(
            f"{name_of(automation)} has max_concurrency = {most!r}: give a whole number above 0, "
            "or None for no limit"
        )
    return most
