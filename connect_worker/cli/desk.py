"""What each of the operator's commands has before it: the settings, the ledger, a way to answer.

The exit codes are the same for all of them, see `Exit`.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Concatenate, ParamSpec

import click
from rich.console import Console, RenderableType

from connect_worker.desk.words import clean
from connect_worker.exceptions import LedgerUnavailable, SettingsError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings import Settings

P = ParamSpec("P")


class Exit(IntEnum):
    """What the exit code of a command says."""

    #: It is done, or all is well.
    DONE = 0
    #: Something needs a person (`doctor`, `status --check`), or the answer was no.
    NEEDS_ATTENTION = 1
    #: The command was not understood.
    USAGE = 2
    #: No such request, or not all of them could be changed.
    NOT_DONE = 3
    #: The settings are incomplete, or the ledger does not answer.
    NO_LEDGER = 4
    #: The broker can't be reached, or no worker has answered in time.
    NO_ANSWER = 5


class Refused(click.ClickException):
    """One sentence on standard error, and the exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(clean(message))
        self.code = code

    # click reads it of the instance, and declares it for the class.
    exit_code = property(lambda self: int(self.code))


@dataclass(frozen=True, slots=True)
class Desk:
    """The operator's place."""

    settings: Settings
    ledger: RedisLedger
    console: Console
    as_json: bool

    def answer(self, document: Any, picture: RenderableType | None = None) -> None:
        """Write one JSON document, or the picture of it."""
        if self.as_json:
            write_json(document)
        elif picture is not None:
            self.console.print(picture)

    def say(self, text: str) -> None:
        """Write a sentence for people, where JSON is not asked for."""
        if not self.as_json:
            self.console.print(text, soft_wrap=True, markup=False, highlight=False)


def at_desk(
    command: Callable[Concatenate[Desk, P], Exit | None],
) -> Callable[..., None]:
    """Make a click command of a function that needs a desk: `--json`, errors, exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
    @functools.wraps(command)
    def at_work(*args: Any, as_json: bool, **kwargs: Any) -> None:
        try:
            settings = Settings.from_env()
            ledger = RedisLedger.from_url(
                settings.redis_url, account=settings.account, keys=settings.encryption_key
            )
            desk = Desk(settings, ledger, Console(), as_json)
            sys.exit(command(desk, *args, **kwargs) or Exit.DONE)
        except (SettingsError, LedgerUnavailable) as error:
            raise Refused(str(error), Exit.NO_LEDGER) from error

    return at_work


def write_json(document: Any) -> None:
    """Write one document to standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def example(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\b\nExample" + ("s" if len(lines) > 1 else "") + ":\n  " + "\n  ".join(lines)
