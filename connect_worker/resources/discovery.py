"""Finding the user's automations in the modules that `CONNECT_PROCESSORS` names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from connect_worker import compat
from connect_worker.config import Config
from connect_worker.domain.routing import Registration, Registry
from connect_worker.engine.runtime import Processor
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.automation import Automation, importing, product_list
from connect_worker.resources.processor import AutomationProcessor, route_of, rules_of

#: Modules loaded from a path get this before their name, so that they hide no other module.
_FILE_PREFIX = "connect_processors_"


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


def find_automations(names: Iterable[str]) -> list[type[Automation[Any]]]:
    """Return the automations in the modules, each once, in their order.

    Raises:
        RegistrationError: A module can't be imported, or has no automation of the name given.
    """
    automations: dict[type[Automation[Any]], None] = {}
    for target in names:
        name, only = split_target(target)
        contents = vars(_module(name))
        if only and not _is_automation(contents.get(only)):
            raise RegistrationError(f"CONNECT_PROCESSORS: {name} has no automation {only}")
        for value in [contents[only]] if only else contents.values():
            if _is_automation(value):
                automations[value] = None
            elif _is_foreign(value):
                raise RegistrationError(
                    f"CONNECT_PROCESSORS: {value.__name__} in {name} is an automation of the "
                    f"`connect` of {compat.real_connect()}"
                )
    return list(automations)


def split_target(target: str) -> tuple[str, str]:
    """Split `module:Name`; the name is "" where there is none.

    The colon after a drive's letter does not count.
    """
    name, colon, only = target.rpartition(":")
    return (name, only) if colon and only.isidentifier() else (target, "")


def _is_automation(value: object) -> bool:
    """Whether it is a class with a `process_request` of the user, its own or inherited."""
    return (
        inspect.isclass(value)
        and issubclass(value, Automation)
        and value.process_request is not Automation.process_request
        and not value.__name__.startswith("_")
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


def _leaves(classes: list[type[Automation[Any]]]) -> Iterator[type[Automation[Any]]]:
    """Drop classes that are only the bases of others."""
    for candidate in classes:
        if not any(other is not candidate and issubclass(other, candidate) for other in classes):
            yield candidate


def _registration(automation: type[Automation[Any]], config: Config) -> Registration[Processor]:
    name, products = _name(automation), frozenset(product_list(automation.products))
    return Registration(
        automation.kind,
        products or None,
        name,
        processor_of(automation, config),
        max_concurrency=_max_concurrency(automation),
        route=route_of(automation, name),
    )


def processor_of(automation: type[Automation[Any]], config: Config) -> AutomationProcessor:
    """Return the processor that makes an automation of this class, for an account.

    Raises:
        RegistrationError: An attribute has an impossible value, or the constructor needs an
            argument other than `config`.
    """
    takes_config = "config" in inspect.signature(automation).parameters
    rules_of(automation, _name(automation))
    _require_constructor(automation, {"config"} if takes_config else set())

    def make() -> Automation[Any]:
        return automation(config=config) if takes_config else automation()

    return AutomationProcessor(automation.kind, make, config)


def _max_concurrency(automation: type[Automation[Any]]) -> int | None:
    most: object = automation.max_concurrency
    if most is None:
        return None
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise RegistrationError(
            f"{_name(automation)} has max_concurrency = {most!r}: give a whole number above 0, or "
            "None for no limit"
        )
    return most


def _require_constructor(automation: type[Automation[Any]], arguments: set[str]) -> None:
    """Refuse a constructor at the start that would fail at the first request."""
    try:
        inspect.signature(automation).bind(**dict.fromkeys(arguments))
    except TypeError as exc:
        raise RegistrationError(
            f"{_name(automation)} can't be made: its constructor may take `config` and nothing "
            f"else that has no default ({exc})"
        ) from exc


def _name(automation: type[Automation[Any]]) -> str:
    """Return the automation's dotted name, or its class and file when it was loaded from one."""
    module = automation.__module__
    if module.startswith(_FILE_PREFIX):
        return f"{automation.__qualname__} in {sys.modules[module].__file__}"
    return f"{module}.{automation.__qualname__}"


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
    name = f"{_FILE_PREFIX}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        # A script may import its neighbours; at the end of the path they hide no other module.
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
