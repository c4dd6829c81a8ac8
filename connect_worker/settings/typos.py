"""Finds variables of the environment that look like a misspelled setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from connect_worker.settings.docs import descriptions
from connect_worker.settings.environment import PREFIX
from connect_worker.settings.model import Settings

#: From 0 to 1. One or two letters may differ; a vendor's own `CONNECT_…` must not be reported.
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Typo:
    """A variable that is not read, and the setting that the user probably meant."""

    name: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.name} is not a setting. Did you mean {self.suggestion}?"


def find_typos(environment: Mapping[str, str], accounts: tuple[str, ...] = ()) -> Iterator[Typo]:
    """Find variables whose name is nearly that of a setting.

    Args:
        environment: All variables, those of `.env` included.
        accounts: The names of several accounts; each has variables of its own.
    """
    settings = [
        variable for description in descriptions(Settings) for variable in description.variables
    ]
    owners = ["", *(f"{account.upper()}_" for account in accounts if account)]
    known = {f"{owner}{setting}" for owner in owners for setting in settings}
    for name in sorted(environment):
        setting = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX) or setting in known or not environment[name].strip():
            continue
        for suggestion in get_close_matches(setting, known, n=1, cutoff=_ALIKE):
            yield Typo(name, f"{PREFIX}{suggestion}")
