"""Runs code that imports the 2019 SDK's `connect`, unchanged, with this project's classes.

After `install()`, `connect`, `connect.models` and the rest are second names of `connect_worker` and
its modules: `connect.models is connect_worker.models`. So `except` and `isinstance` work across
both, and pickles name `connect_worker`.

The worker installs the names for the modules that it loads. A script needs no change either::

    python -m connect_worker.compat my_script.py

A real `connect` is never hidden: if one can be imported, `install()` raises and changes nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

from connect_worker.exceptions import CompatInstallError

__all__ = [
    "RealConnect",
    "comes_from_real",
    "install",
    "is_installed",
    "is_real",
    "real_connect",
    "uninstall",
]

#: The SDK's top package, and ours.
THEIRS: Final = "connect"
OURS: Final = "connect_worker"

#: The modules that users of the SDK import from. The worker's other packages have no such name.
_PUBLIC: Final = ("config", "exceptions", "logger", "models", "resources", "rql")
_PACKAGES: Final = ("models", "resources")

#: Where the names of the SDK's modules are now: package, modules, and our module. The SDK had a
#: module for nearly every class, under names that changed over its releases (14 to 22, of 2019 and
#: 2020). `connect_worker.models` has all models.
_HOLDS: Final = (
    (
        "models",
        (
            "activation activation_response activation_template_response activation_tile_response "
            "agreement agreement_stats anniversary asset asset_request attributes billing "
            "billing_request commitment company configuration connection constraints contact "
            "contact_info contract conversation conversation_message country customer_ui_settings "
            "document download_link event events ext_id_hub fulfillment hub hub_instance hub_stats "
            "item last_request marketplace param parameters period phone_number product "
            "product_category product_configuration product_configuration_parameter product_family "
            "product_stats product_stats_info recurring_asset renewal schema schemas server_error "
            "server_error_response stat stats template tier_account tier_account_request "
            "tier_accounts tier_config tier_config_request tiers ui unit usage_file usage_listing "
            "usage_record usage_records usage_stats user value_choice"
        ),
        "models",
    ),
    ("models", "exception", "exceptions"),
    ("resources", "automation_engine", "resources"),
    (
        "resources",
        "base billing_request marketplace product recurring_asset subscription template",
        "resources.directory",
    ),
    ("resources", "asset_request fulfillment_automation", "resources.fulfillment"),
    (
        "resources",
        "tier_account tier_account_request_automation tier_config_automation tier_config_request",
        "resources.tier_config",
    ),
    ("resources", "usage_automation usage_file_automation", "resources.usage"),
    # What the package was called until release 16; its reference still says so in places.
    ("resource", "automation utils", "resources"),
    ("resource", "base template", "resources.directory"),
    ("resource", "fulfillment fulfillment_automation", "resources.fulfillment"),
    ("resource", "tier_config_automation", "resources.tier_config"),
    ("resource", "usage_automation usage_file_automation", "resources.usage"),
    ("logger", "logger", "logger"),
    ("rql", "query", "rql"),
)

_RENAMED: Final = {"resource": "resources"} | {
    f"{package}.{name}": ours for package, names, ours in _HOLDS for name in names.split()
}


def counterparts() -> dict[str, str]:
    """Return each module name of `connect`, and the name of our module for it."""
    below = {name: name for name in _PUBLIC}
    for package in _PACKAGES:
        modules = iter_modules(importlib.import_module(f"{OURS}.{package}").__path__)
        names = [
            f"{package}.{module.name}" for module in modules if not module.name.startswith("_")
        ]
        below.update(zip(names, names, strict=True))
    below.update(_RENAMED)
    return {THEIRS: OURS} | {f"{THEIRS}.{name}": f"{OURS}.{ours}" for name, ours in below.items()}


class NoCounterpart(MetaPathFinder):
    """Ends the search for a module below `connect` that this project does not have.

    `install` puts all modules that exist into `sys.modules`, so Python asks a finder only for
    others. Without this one, Python would search our package's folder, because `connect` has its
    path, and run a private module a second time under the other name.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - Python passes it by position
        target: ModuleType | None = None,  # noqa: ARG002 - Python passes it too
    ) -> ModuleSpec | None:
        """Leave all other names to the finders behind it.

        Raises:
            ModuleNotFoundError: The name is `connect…`.
        """
        if fullname.partition(".")[0] != THEIRS:
            return None
        raise ModuleNotFoundError(
            f"No module named {fullname!r}: {THEIRS!r} is {OURS} here, "
            "which has no counterpart of it",
            name=fullname,
        )


@dataclass(frozen=True)
class RealConnect:
    """A `connect` that is not ours."""

    #: Its file or folder.
    where: str
    #: What was installed to get it, such as `connect-sdk 22.0`; "" where nothing tells.
    distributions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say what is where, and what to do, in one sentence."""
        what = f"{' and '.join(self.distributions)}, in {self.where}"
        away = "move it away"
        if self.distributions:
            away = "pip uninstall " + " ".join(name.split()[0] for name in self.distributions)
        return (
            f"{what.removeprefix(', in ')}; {away}, or import from connect_worker "
            "(connect_worker.models and so on) instead of connect"
        )


def real_connect() -> RealConnect | None:
    """Find the real `connect` that is imported, or would be without `install`."""
    where = _loaded_from() or _found_at()
    return RealConnect(where, tuple(_distributions())) if where else None


def comes_from_real(thing: object) -> bool:
    """Whether a class has a base of a real `connect`, or an error arose in it or from its lack."""
    if inspect.isclass(thing):
        return any(is_real(base.__module__) for base in thing.__mro__)
    if not isinstance(thing, BaseException):
        return False
    if isinstance(thing, ImportError) and thing.name and is_real(thing.name):
        return True
    frames = traceback.walk_tb(thing.__traceback__)
    return any(is_real(str(frame.f_globals.get("__name__"))) for frame, _ in frames)


def is_real(module: str) -> bool:
    """Whether a module of this name, which is a module's `__name__`, is a real `connect`'s."""
    return module.partition(".")[0] == THEIRS


def _loaded_from() -> str | None:
    module = sys.modules.get(THEIRS)
    if module is None or module is sys.modules.get(OURS):
        return None
    return _location(getattr(module, "__spec__", None)) or str(module)


def _found_at() -> str | None:
    others = (finder for finder in sys.meta_path if not isinstance(finder, NoCounterpart))
    locations = (_location(finder.find_spec(THEIRS, None)) for finder in others)
    return next((location for location in locations if location), None)


def _location(spec: object) -> str | None:
    """Give a package's folder or a module's file; None for a folder without Python in it.

    Any folder called `connect` on the path is a namespace package to Python; the ones that count
    are those that distributions share (`connect.client`, `connect.cli`).
    """
    if not isinstance(spec, ModuleSpec):
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if spec.has_location or not folders:
        return str(folders[0] if folders else spec.origin)
    return next((str(folder) for folder in folders if _has_python(folder)), None)


def _has_python(folder: Path) -> bool:
    patterns = ("*.py", "*/*.py")
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)


def _distributions() -> Iterable[str]:
    names = importlib.metadata.packages_distributions().get(THEIRS, ())
    return [f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(names)]


_finder: Final = NoCounterpart()
_lock: Final = threading.Lock()


def install() -> None:
    """Make `connect` and the modules below it names of this project's; a second call is harmless.

    All names are added to `sys.modules` at once. With a finder that makes each on demand, other
    threads could see an empty module, or one with the other name's `__spec__`.

    Raises:
        CompatInstallError: A real `connect` can be imported here, or has been. Nothing is changed.
    """
    with _lock:
        real = real_connect()
        if real is not None:
            raise CompatInstallError(
                f"`connect` can't become a name of connect_worker, because there is a real one: "
                f"{real}"
            )
        if not is_installed():
            modules = {name: importlib.import_module(ours) for name, ours in counterparts().items()}
            sys.meta_path.insert(0, _finder)
            sys.modules.update(modules)
            for name, package, child in _children(modules):
                # What is there already is the same module, or an object like `logger.logger`.
                vars(package).setdefault(child, modules[name])


def is_installed() -> bool:
    """Whether `connect` means this project here."""
    return _finder in sys.meta_path


def uninstall() -> None:
    """Remove the names. Modules that were imported under them still work."""
    with _lock:
        if not is_installed():
            return
        sys.meta_path.remove(_finder)
        modules = _taken_back()
        for name, package, child in _children(modules):
            is_ours = f"{package.__name__}.{child}" in sys.modules
            if not is_ours and vars(package).get(child) is modules[name]:
                delattr(package, child)


def _taken_back() -> dict[str, ModuleType]:
    return {
        name: sys.modules.pop(name)
        for name, ours in counterparts().items()
        if name in sys.modules and sys.modules[name] is sys.modules.get(ours)
    }


def _children(modules: dict[str, ModuleType]) -> Iterator[tuple[str, ModuleType, str]]:
    """Give each name below another one, the module it is below, and its last part."""
    for name in modules:
        parent, _, child = name.rpartition(".")
        if parent in modules:
            yield name, modules[parent], child
