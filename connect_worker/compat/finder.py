"""The end of the search for a module below `connect`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from connect_worker.compat.names import OURS, THEIRS


class NoCounterpart(MetaPathFinder):
    """Finds nothing below `connect`, and lets nobody else look for it.

    Python asks it for the names that are not in `sys.modules`, where all that there are have been
    put. Were it not there, Python would look into our package's folder, whose path `connect` has,
    and run a private module a second time under the other name.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - Python passes it by position
        target: ModuleType | None = None,  # noqa: ARG002 - likewise
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
