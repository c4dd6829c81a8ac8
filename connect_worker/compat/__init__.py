"""Lets code that imports the 2019 SDK's `connect` run with this project's classes, unchanged.

After `install()`, `connect`, `connect.models` and the rest are second names of `connect_worker` and
its modules: `connect.models is connect_worker.models`. So `except` and `isinstance` hold across
both, and whatever is pickled names `connect_worker`.

The worker does this by itself for the modules that it loads. A script needs no change either::

    python -m connect_worker.compat my_script.py

A real `connect` is never hidden: where one can be imported, `install()` says so and does nothing.
"""

from connect_worker.compat.alias import (
    RealConnect,
    comes_from_real,
    install,
    is_installed,
    is_real,
    real_connect,
    uninstall,
)

__all__ = [
    "RealConnect",
    "comes_from_real",
    "install",
    "is_installed",
    "is_real",
    "real_connect",
    "uninstall",
]
