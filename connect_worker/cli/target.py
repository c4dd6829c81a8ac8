"""What `try` and `replay` run: the automation that a person names, and the account."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connect_worker.cli.context import Exit, Refused, choose_accounts
from connect_worker.config import Config
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError, SettingsError
from connect_worker.resources.automation import Automation
from connect_worker.resources.discovery import find_automations
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings

#: By the letters of its id.
_KINDS = {
    "PR": RequestKind.FULFILLMENT,
    "TCR": RequestKind.TIER_CONFIG,
    "UF": RequestKind.USAGE_FILE,
    "LST": RequestKind.USAGE,
}


def kind_of(request_id: str) -> RequestKind:
    """Return the kind of the request with an id.

    Raises:
        Refused: It is the id of something else.
    """
    kind = _KINDS.get(request_id.partition("-")[0])
    if kind is None:
        named = ", ".join(f"{letters}-…" for letters in _KINDS)
        raise Refused(f"{request_id!r} is no request: its id begins {named}", Exit.USAGE)
    return kind


def automations_in(name: str) -> list[type[Automation[Any]]]:
    """Return the automations of a module, or the one that is named behind the colon.

    Raises:
        Refused: The module can't be imported, or has none.
    """
    try:
        found = find_automations([name])
    except RegistrationError as error:
        raise Refused(str(error).removeprefix("CONNECT_PROCESSORS: "), Exit.USAGE) from error
    if not found:
        raise Refused(f"there is no automation in {name}", Exit.USAGE)
    return found


def automation_for(name: str, kind: RequestKind) -> type[Automation[Any]]:
    """Return the automation that processes requests of a kind.

    Raises:
        Refused: There is none, or more than one.
    """
    found = [item for item in automations_in(name) if item.kind is kind]
    if not found:
        raise Refused(f"{name} has no automation for {kind} requests", Exit.USAGE)
    if len(found) > 1:
        names = ", ".join(f"{name.partition(':')[0]}:{item.__name__}" for item in found)
        raise Refused(f"{name} has several for {kind} requests: name one of {names}", Exit.USAGE)
    return found[0]


def config_of(account: str) -> Config:
    """Return an account of the environment; "" for the only one.

    Raises:
        Refused: It names none, or several of which one is to be chosen.
        BadParameter: There is none of this name.
    """
    try:
        names = choose_accounts(Settings.from_env(), account)
        if len(names) > 1:
            raise Refused(f"choose an account: --account {' or '.join(names)}", Exit.USAGE)
        return settings_of(names[0]).config()
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing inside the with-block: what a command finds out, it tells itself."""
    former = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(former)
