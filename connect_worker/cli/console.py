"""``connect-worker console``: the board, the parked requests and their stories, in a browser."""

from __future__ import annotations

import logging
import sys

import click

from connect_worker.cli.context import Exit, Refused, account_option, choose_accounts, ledger_of
from connect_worker.exceptions import SettingsError
from connect_worker.observability.logging import prepare_handler
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.environment import is_loopback
from connect_worker.settings.model import Settings

#: A person waits for the page: Redis has to answer, or not, before.
TIMEOUT_SECONDS = 2.0


@click.command()
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; another than this machine's own needs a password.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: a free one."
)
@account_option
def console(*, address: str, port: int, account: str) -> None:
    """Serve a web page of what `status`, `list` and `show` tell, read from the ledger.

    With CONNECT_CONSOLE_PASSWORD people sign in, and may rerun, repost and discard; without, it is
    read-only. It calls no Connect and no broker, and of CONNECT_API_KEY it needs the part before
    the colon only.

    \b
    Examples:
      CONNECT_CONSOLE_PASSWORD=… connect-worker console --port 8765
    """
    # Tornado takes a moment to load; `--help` needs it not.
    from connect_worker.console.application import serve
    from connect_worker.console.pages import Account, Deployment

    try:
        settings = Settings.from_env()
        served = {}
        for name in choose_accounts(settings, account):
            chosen = settings_of(name)
            served[name or chosen.account] = Account(
                ledger_of(chosen, timeout_seconds=TIMEOUT_SECONDS),
                poll_seconds=chosen.poll_seconds,
                max_calls_per_second=chosen.max_calls_per_second,
                keep_days=chosen.keep_days,
            )
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from None
    if not settings.console_password and not is_loopback(address):
        raise click.UsageError(
            f"Everybody who reaches {address} could look: set CONNECT_CONSOLE_PASSWORD."
        )
    deployment = Deployment(
        served,
        password=settings.console_password,
        console_url=settings.console_url,
        flower_url=settings.flower_url,
    )
    _log_to_standard_error(settings.log_format)
    try:
        serve(deployment, address=address, port=port, ready=lambda at: _say(address, at))
    except OSError as error:
        raise click.ClickException(f"{address}:{port}: {error.strerror}") from None


def _log_to_standard_error(log_format: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    prepare_handler(handler, log_format)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _say(address: str, port: int) -> None:
    place = f"[{address}]" if ":" in address else address
    click.echo(f"console at http://{place}:{port}/", err=True)
    sys.stderr.flush()
