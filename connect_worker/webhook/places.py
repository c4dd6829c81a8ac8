"""Where each account's notifications go: `<public address>/<account>/<object class>`."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from connect_worker.processing.notices import OBJECT_CLASSES
from connect_worker.processing.states import Kind

_KINDS: Final = {name: kind for kind, name in OBJECT_CLASSES.items()}


def place_of(account: str, kind: Kind) -> str:
    """Return the path of a kind's notifications; "" is the only account."""
    return "/".join(("", *filter(None, [account]), OBJECT_CLASSES[kind]))


def read_place(path: str, accounts: Container[str]) -> tuple[str, Kind] | None:
    """Return the account and the kind that a path names; None when it names none.

    A proxy may leave a prefix of its own before it.
    """
    *before, last = path.rstrip("/").split("/")
    account = "" if "" in accounts else (before or [""])[-1]
    if last not in _KINDS or account not in accounts:
        return None
    return account, _KINDS[last]
