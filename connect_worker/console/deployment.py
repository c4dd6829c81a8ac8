"""What the console is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connect_worker.engine.ports import Ledger


@dataclass(frozen=True, slots=True)
class Account:
    """One account, and what of its settings is told or needed here."""

    ledger: Ledger
    #: Seconds between two polls, by kind.
    poll_seconds: Mapping[str, float] = field(default_factory=dict)
    max_calls_per_second: float | None = None
    #: How long a discarded request is remembered.
    keep_days: float = 7.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The accounts that it shows, and how it is reached."""

    #: By name; the first one is shown when none is named.
    accounts: Mapping[str, Account]
    #: "": nobody may change anything, and everybody may look.
    password: str = field(default="", repr=False)
    #: Where people find the console, and Flower; "" when nobody has said.
    console_url: str = ""
    flower_url: str = ""

    @property
    def is_read_only(self) -> bool:
        """Whether nobody may change anything."""
        return not self.password
