"""The options that commands share, and the completion of their values in a shell."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import get_completion_class

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import SettingsError
from connect_worker.observability.logging import prepare_handler
from connect_worker.operations.filters import STATE_WORDS
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
    click.echo(f"{what} at http://{host}:{port}{path}", err=True)
    sys.stderr.flush()


def cannot_listen(address: str, port: int, error: OSError) -> click.ClickException:
    """Return the message for an address or port that is not available."""
    return click.ClickException(f"Cannot listen on {address}:{port}: {error.strerror}")


def log_to_standard_error(log_format: str) -> None:
    """Write the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    prepare_handler(handler, log_format)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


# ---- completion

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Print the completion script of a shell.",
    epilog="\b\nExamples:\n"
    '  eval "$(connect-worker completion bash)"      # in ~/.bashrc; the same for zsh\n'
    "  connect-worker completion fish | source",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the script that completes commands, options, kinds and states in a shell."""
    root = context.find_root().command
    completion_class = get_completion_class(shell)
    assert completion_class is not None  # noqa: S101 - click has one for each of _SHELLS
    script = completion_class(root, {}, "connect-worker", "_CONNECT_WORKER_COMPLETE").source()
    click.echo(script)
