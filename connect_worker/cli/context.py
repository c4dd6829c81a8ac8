"""What each of the operator's commands has before it: the settings, the ledger, a way to answer.

The exit codes are the same for all of them, see `Exit`. Of several accounts each has a desk: a
command does its work at all of them, or at the one that `--account` names. Request ids are looked
for at all, and what is done is done where they are.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Concatenate, ParamSpec

import click
from rich.console import Console, RenderableType
from rich.text import Text

from connect_worker.domain.states import State
from connect_worker.exceptions import LedgerUnavailable, SettingsError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.operations.filters import find
from connect_worker.operations.formatting import clean
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings

# The colours of a terminal.

STYLES: Mapping[State, str] = {
    State.QUEUED: "",
    State.RUNNING: "cyan",
    State.POSTING: "cyan",
    State.RETRY: "yellow",
    State.SNOOZED: "blue",
    State.DECIDED: "yellow",
    State.PARKED: "bold red",
    State.COMPLETED: "green",
    State.SUPERSEDED: "magenta",
    State.DISCARDED: "dim",
}

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
    """The operator's place at one account."""

    settings: Settings
    ledger: RedisLedger
    console: Console
    as_json: bool
    #: The account's name; "" for the only one.
    account: str = ""
    #: Where documents of several accounts wait to be written as one; None where each is the answer.
    drawer: dict[str, Any] | None = None

    def answer(self, document: Any, picture: RenderableType | None = None) -> None:
        """Write one JSON document, or the picture of it."""
        if self.as_json and self.drawer is not None:
            self.drawer[self.account] = document
        elif self.as_json:
            write_json(document)
        elif picture is not None:
            self.console.print(picture)

    def say(self, text: str) -> None:
        """Write a sentence for people, where JSON is not asked for."""
        if not self.as_json:
            self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def head(self) -> Text:
        """Return what is written above an account's part of an answer."""
        return Text(f"Account {self.account}", style="bold underline")


def account_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that chooses one of several accounts."""
    return click.option(
        "--account",
        "-a",
        default="",
        metavar="NAME",
        shell_complete=_complete_account,
        help="Of several accounts (CONNECT_ACCOUNTS) only this one.",
    )(command)


def choose_accounts(settings: Settings, account: str) -> Sequence[str]:
    """Return the names that a command is about: one, or all; ("",) where there is none.

    Raises:
        ClickException: There is no account of this name.
    """
    names = accounts_of(settings)
    if account.lower() in names:
        return (account.lower(),) if account else names
    known = f"one of {', '.join(names)}" if settings.accounts else "none: CONNECT_ACCOUNTS is unset"
    if account:
        raise click.BadParameter(f"{account!r} is no account, which is {known}")
    return names


def at_desks(
    command: Callable[Concatenate[Sequence[Desk], P], Exit | None],
) -> Callable[..., None]:
    """Make a click command of a function that needs desks: its options, errors, exit code.

    With several desks their documents are written as one: `{"accounts": {name: document}}`.
    """

    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
    @account_option
    @functools.wraps(command)
    def at_work(*args: Any, as_json: bool, account: str, **kwargs: Any) -> None:
        try:
            desks = list(_open(account, as_json=as_json))
            code = command(desks, *args, **kwargs) or Exit.DONE
            if as_json and desks[0].drawer is not None:
                write_json({"accounts": desks[0].drawer})
            sys.exit(code)
        except (SettingsError, LedgerUnavailable) as error:
            raise Refused(str(error), Exit.NO_LEDGER) from error

    return at_work


def at_desk(
    command: Callable[Concatenate[Desk, P], Exit | None],
) -> Callable[..., None]:
    """Make a click command of a function that does its work at one desk after the other."""

    @at_desks
    @functools.wraps(command)
    def at_each(desks: Sequence[Desk], *args: Any, **kwargs: Any) -> Exit:
        codes = [Exit.DONE]
        for desk, its in _at_their_accounts(desks, kwargs):
            if desk.drawer is not None and not desk.as_json:
                desk.console.print(desk.head())
            try:
                codes.append(command(desk, *args, **its) or Exit.DONE)
            except Refused as error:
                if desk.drawer is None:
                    raise
                # The other accounts may answer.
                error.show()
                codes.append(error.code)
        return max(codes)

    return at_each


def _open(account: str, *, as_json: bool) -> Iterator[Desk]:
    deployment = Settings.from_env()
    names = choose_accounts(deployment, account)
    drawer: dict[str, Any] | None = {} if len(names) > 1 else None
    for name in names:
        settings = settings_of(name)
        yield Desk(settings, ledger_of(settings), Console(), as_json, name, drawer)


def ledger_of(settings: Settings, *, timeout_seconds: float = 5.0) -> RedisLedger:
    """Return an account's ledger, for a reader who may see what is encrypted; nothing is sent yet.

    Raises:
        SettingsError: The account, or a key, can't be used.
    """
    return RedisLedger.from_url(
        settings.redis_url,
        account=settings.account,
        timeout_seconds=timeout_seconds,
        keys=settings.encryption_key,
    )


def _at_their_accounts(
    desks: Sequence[Desk], arguments: Mapping[str, Any]
) -> Iterable[tuple[Desk, Mapping[str, Any]]]:
    """Return each desk with its part of the arguments: of requests that are named, its own ones.

    Raises:
        Refused: A request is in several accounts, so that nobody knows which is meant.
    """
    name = next((item for item in ("request_id", "request_ids") if arguments.get(item)), None)
    if len(desks) == 1 or name is None:
        return [(desk, arguments) for desk in desks]
    given = arguments[name]
    found: dict[str, list[str]] = {}
    for request_id in [given] if isinstance(given, str) else given:
        owners = [desk for desk in desks if find(desk.ledger, request_id)]
        if len(owners) > 1:
            said = " and ".join(desk.account for desk in owners)
            raise Refused(f"{request_id} is in {said}: name one with --account", Exit.USAGE)
        # What nobody has, the first one tells.
        found.setdefault((owners or desks)[0].account, []).append(request_id)
    return [
        (desk, {**arguments, name: ids[0] if isinstance(given, str) else ids})
        for desk in desks
        if (ids := found.get(desk.account))
    ]


def _complete_account(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[str]:
    try:
        names = Settings.from_env().accounts
    except SettingsError:
        return []
    return [name for name in names if name.startswith(begun)]


def write_json(document: Any) -> None:
    """Write one document to standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def example(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\b\nExample" + ("s" if len(lines) > 1 else "") + ":\n  " + "\n  ".join(lines)
