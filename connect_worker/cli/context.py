"""What commands share: options, settings, ledger, a way to answer, and exit codes.

With several accounts each has a context of its own. A command works on all accounts in turn, or on
the one that `--account` names. Request ids are searched in all accounts.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from connect_worker.domain.states import RequestKind, State
from connect_worker.exceptions import LedgerUnavailable, SettingsError
from connect_worker.ledger.redis import OPERATOR_SECONDS, RedisLedger
from connect_worker.logger import logger
from connect_worker.observability.logging import prepare_handler, prints_to_log
from connect_worker.observability.masking import mask_secrets
from connect_worker.observability.output import (
    EXIT_CONFIGURATION,
    dump_json,
    escape_lines,
    sanitize,
)
from connect_worker.operations.requests import STATE_WORDS, find_by_id
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings

F = TypeVar("F", bound=Callable[..., Any])

KIND = click.Choice([kind.value for kind in RequestKind])
STATE = click.Choice(STATE_WORDS)


def example(*lines: str) -> str:
    """Return examples for the end of a command's help."""
    return "\b\nExample" + ("s" if len(lines) > 1 else "") + ":\n  " + "\n  ".join(lines)


def json_option(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def account_option(command: F) -> F:
    """Give a command the option that chooses one of several accounts."""
    return click.option(
        "--account",
        "-a",
        default="",
        metavar="NAME",
        shell_complete=_complete_account,
        help="Only this one of several accounts (CONNECT_ACCOUNTS).",
    )(command)


def _complete_account(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[str]:
    try:
        names = Settings.from_env().accounts
    except SettingsError:
        return []
    return [name for name in names if name.startswith(begun)]


def filter_options(command: F) -> F:
    """Give a command the options that select requests by what they have in common."""
    for option in reversed(
        (
            click.option("--kind", type=KIND, help="Only requests of this kind."),
            click.option("--product", default="", metavar="PRD-…", help="Only of this product."),
            click.option("--error", default="", metavar="TEXT", help="Only with this error text."),
        )
    ):
        command = option(command)
    return command


# ---- commands that listen


def listen_options(*, port: int, address_help: str = "Where to listen.") -> Callable[[F], F]:
    """Return what gives a command the options `--address` and `--port`."""
    address_option = click.option(
        "--address", default="127.0.0.1", show_default=True, help=address_help
    )
    port_option = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=port,
        show_default=True,
        help="0: a free port.",
    )
    return lambda command: address_option(port_option(command))


def announce(what: str, address: str, port: int, path: str = "/") -> None:
    """Write on standard error that a server listens, for people and for what started it."""
    host = f"[{address}]" if ":" in address else address
    text = f"{what} at http://{host}:{port}{path}"
    if prints_to_log():
        logger.info(text)
        return
    click.echo(text, err=True)
    sys.stderr.flush()


def cannot_listen(address: str, port: int, error: OSError) -> click.ClickException:
    """Return the message for an address or port that is not available."""
    return click.ClickException(f"Cannot listen on {address}:{port}: {error.strerror}")


@contextmanager
def no_logging() -> Iterator[None]:
    """Log nothing inside the with-block: the command prints what it finds."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def log_to_terminal() -> Iterator[None]:
    """Show the log on standard error inside the with-block."""
    handler = logging.StreamHandler()
    prepare_handler(handler, "text")
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


# ---- the account that a command works on

#: The colors of the states in a terminal.
STYLES: Final[Mapping[State, str]] = {
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
    """The exit codes of the commands."""

    #: The command succeeded, or all is well.
    DONE = 0
    #: Something needs an operator (`doctor`, `status --check`), or the operator answered no.
    NEEDS_ATTENTION = 1
    #: The command line is invalid.
    USAGE = 2
    #: There is no such request, or not all of the requests could be changed.
    NOT_DONE = 3
    #: The ledger does not answer.
    NO_LEDGER = 4
    #: The broker can't be reached, or no worker answered in time.
    NO_ANSWER = 5
    #: The settings are incomplete or malformed, or the processors can't be loaded.
    CONFIGURATION = EXIT_CONFIGURATION


class CommandError(click.ClickException):
    """Ends a command with one sentence on standard error and an exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(sanitize(message))
        self.code = code

    # click reads the exit code of the instance, and declares it for the class.
    exit_code = property(lambda self: int(self.code))


class TerminalConsole(Console):
    """Where a command prints. What a text says is shown, and never a command to the terminal.

    Brackets are no markup, and a character that does not print is written as its escape.

    Args:
        stderr: Whether it prints to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield the parts of what is printed."""
        for text, style, control in super().render(renderable, options):
            # A control code, such as one that moves the cursor, is this program's own.
            yield Segment(text if control else escape_lines(text, indent=""), style, control)


@dataclass(frozen=True, slots=True)
class CommandContext:
    """One account, as a command works on it."""

    settings: Settings
    ledger: RedisLedger
    console: Console
    as_json: bool
    #: The account's name; "" for the only account.
    account: str = ""
    #: Whether the command works on more than one account.
    is_one_of_several: bool = False
    #: The JSON document of each account, which the command prints at its end.
    documents: dict[str, Any] = field(default_factory=dict)

    def print_result(self, document: Any, renderable: RenderableType | None = None) -> None:
        """Print the JSON document with `--json`, else the renderable."""
        if self.as_json:
            self.documents[self.account] = document
        elif renderable is not None:
            self.console.print(renderable)

    def print_text(self, text: str) -> None:
        """Print a sentence for people; nothing with `--json`."""
        if not self.as_json:
            self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def heading(self) -> Text:
        """Return the heading of the account's part of the output."""
        return Text(f"Account {self.account}", style="bold underline")


def select_accounts(settings: Settings, account: str) -> Sequence[str]:
    """Return the accounts that a command works on: one, or all; ("",) without names.

    Raises:
        ClickException: There is no account of this name.
    """
    names = accounts_of(settings)
    if account.lower() in names:
        return (account.lower(),) if account else names
    if account and settings.accounts:
        raise click.BadParameter(f"Unknown account {account!r}. Choose one of: {', '.join(names)}.")
    if account:
        raise click.BadParameter(
            f"Unknown account {account!r}: CONNECT_ACCOUNTS is not set, so accounts have no names."
        )
    return names


def multi_account_command(
    command: Callable[Concatenate[Sequence[CommandContext], P], Exit | None],
) -> Callable[..., None]:
    """Make a click command of a function that takes the contexts of all accounts at once.

    Adds `--json` and `--account`, and turns errors into exit codes. The JSON documents of several
    accounts are printed as one: `{"accounts": {name: document}}`. An account without a result has
    `{"error": sentence}`, and so has a command that failed before it knew its accounts.
    """

    @json_option
    @account_option
    @functools.wraps(command)
    def run(*args: Any, as_json: bool, account: str, **kwargs: Any) -> None:
        documents: dict[str, Any] = {}
        names: Sequence[str] = ("",)
        try:
            names = select_accounts(Settings.from_env(), account)
            contexts = list(_contexts(names, documents, as_json=as_json))
            code = command(contexts, *args, **kwargs) or Exit.DONE
        except SettingsError as error:
            failure = CommandError(str(error), Exit.CONFIGURATION)
            _print_documents(documents, names, failure, as_json=as_json)
            raise failure from error
        except LedgerUnavailable as error:
            failure = CommandError(str(error), Exit.NO_LEDGER)
            _print_documents(documents, names, failure, as_json=as_json)
            raise failure from error
        except CommandError as failure:
            _print_documents(documents, names, failure, as_json=as_json)
            raise
        _print_documents(documents, names, None, as_json=as_json)
        sys.exit(code)

    return run


def _print_documents(
    documents: Mapping[str, Any],
    names: Sequence[str],
    failure: CommandError | None,
    *,
    as_json: bool,
) -> None:
    """Print one JSON document, with the failure for each account that has no other."""
    if not as_json:
        return
    found = dict(documents)
    if failure is not None:
        found = {name: error_document(failure) for name in names} | found
    write_json({"accounts": found} if len(names) > 1 else found.get(names[0]))


def error_document(failure: click.ClickException) -> dict[str, str]:
    """Return the JSON document of what failed; the exit code says of what kind it is."""
    return {"error": mask_secrets(failure.message)}


def ledger_command(
    command: Callable[Concatenate[CommandContext, P], Exit | None],
) -> Callable[..., None]:
    """Make a click command of a function that works on one account after the other."""

    @multi_account_command
    @functools.wraps(command)
    def run_each(contexts: Sequence[CommandContext], *args: Any, **kwargs: Any) -> Exit:
        codes = [Exit.DONE]
        for context, arguments in _with_arguments(contexts, kwargs):
            if context.is_one_of_several and not context.as_json:
                context.console.print(context.heading())
            try:
                codes.append(command(context, *args, **arguments) or Exit.DONE)
            except CommandError as error:
                if not context.is_one_of_several:
                    raise
                # The other accounts may answer.
                error.show()
                context.documents.setdefault(context.account, error_document(error))
                codes.append(error.code)
        return max(codes)

    return run_each


def _contexts(
    names: Sequence[str], documents: dict[str, Any], *, as_json: bool
) -> Iterator[CommandContext]:
    for name in names:
        settings = settings_of(name)
        ledger = open_ledger(settings)
        yield CommandContext(
            settings, ledger, TerminalConsole(), as_json, name, len(names) > 1, documents
        )


def open_ledger(settings: Settings, *, timeout_seconds: float = OPERATOR_SECONDS) -> RedisLedger:
    """Return an account's ledger, with the keys that decrypt it; nothing is sent to Redis yet.

    Nothing is repeated: a person waits for the answer, and can ask again.

    Raises:
        SettingsError: A setting of the account, or an encryption key, is not valid.
    """
    return RedisLedger.from_url(
        settings.redis_url,
        account=settings.account,
        prefix=settings.key_prefix,
        timeout_seconds=timeout_seconds,
        retries=0,
        keys=settings.encryption_key,
    )


def _with_arguments(
    contexts: Sequence[CommandContext], arguments: Mapping[str, Any]
) -> Iterable[tuple[CommandContext, Mapping[str, Any]]]:
    """Return each context with its arguments: of the request ids only those of its account.

    Raises:
        CommandError: Several accounts have a request with the same id.
    """
    name = next((item for item in ("request_id", "request_ids") if arguments.get(item)), None)
    if len(contexts) == 1 or name is None:
        return [(context, arguments) for context in contexts]
    value = arguments[name]
    ids_by_account: dict[str, list[str]] = {}
    for request_id in [value] if isinstance(value, str) else value:
        owners = [context for context in contexts if find_by_id(context.ledger, request_id)]
        if len(owners) > 1:
            accounts = " and ".join(context.account for context in owners)
            raise CommandError(
                f"{request_id} is in {accounts}: name one with --account", Exit.USAGE
            )
        # The first account reports an id that no account has.
        ids_by_account.setdefault((owners or contexts)[0].account, []).append(request_id)
    return [
        (context, {**arguments, name: ids[0] if isinstance(value, str) else ids})
        for context in contexts
        if (ids := ids_by_account.get(context.account))
    ]


def write_json(document: Any) -> None:
    """Write one document to standard output."""
    click.echo(dump_json(document, stream=sys.stdout, indent=2))
