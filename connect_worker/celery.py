"""The way to the Celery application: `celery -A connect_worker worker`.

Celery looks for an `app` in the module `celery` of the package that `-A` names. The application is
in `tasks`, and is loaded on first access: users of the processors' classes never import
Celery.

Celery puts the working directory before everything else, so that a vendor's own `tasks.py` there
would be loaded instead of ours. `load_tasks` loads the `tasks` that was installed together with
this package.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

_HOME = Path(__file__).parent.parent


def load_tasks() -> None:
    """Make `import tasks` mean this project's package in this process.

    Raises:
        ModuleNotFoundError: It was not installed together with this package.
        SystemExit: The settings are malformed. `tasks` reads the accounts from them.
    """
    loaded = sys.modules.get("tasks")
    if loaded is not None and _is_ours(loaded.__file__):
        return
    spec = PathFinder.find_spec("tasks", [str(_HOME)])
    if spec is None or spec.loader is None or not _is_ours(spec.origin):
        raise ModuleNotFoundError(f"{_HOME} has no package tasks: install connect-worker again")
    sys.modules["tasks"] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["tasks"]
        raise


def _is_ours(file: str | None) -> bool:
    return file is not None and Path(file).resolve() == (_HOME / "tasks" / "__init__.py").resolve()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load_tasks()
    from tasks.app import app

    return app
