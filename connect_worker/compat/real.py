"""Finding a real `connect`: the SDK itself, or any other package of that name."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from connect_worker.compat.finder import NoCounterpart
from connect_worker.compat.names import OURS, THEIRS


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
    """Find the `connect` that was imported, or would be if `install` were never called."""
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
