"""A module of processors that is being imported: whoever imports it wants its classes, and no work.

A worker, `doctor` and `try` import the module; so a script that ends in a bare `process()` must not
decide the whole account there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from connect_worker.exceptions import RegistrationError
from connect_worker.logger import LogEvent, logger

_module: ContextVar[str] = ContextVar("module", default="")


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Import a module of processors inside of this."""
    token = _module.set(name)
    try:
        yield
    finally:
        _module.reset(token)


def is_left_to_the_worker() -> bool:
    """Whether `process()` was called by a module that is being imported; a warning says so."""
    if not (name := _module.get()):
        return False
    remedy = "put it under `if __name__ == '__main__':`"
    logger.warning(LogEvent("process() not run", module=name, because="imported", remedy=remedy))
    return True


def require_imported() -> None:
    """Refuse a change of Connect by a module that is being imported.

    Raises:
        RegistrationError: There is one; it is named.
    """
    if name := _module.get():
        raise RegistrationError(
            f"CONNECT_PROCESSORS: {name} changes something in Connect when it is imported: put "
            "what it runs there under `if __name__ == '__main__':`"
        )
