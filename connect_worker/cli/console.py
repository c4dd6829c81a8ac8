"""``connect-worker console``: the status, the lists of requests and their details, in a browser."""

from __future__ import annotations

import logging

import click

from connect_worker.cli.context import (
    account_option,
    announce,
    cannot_listen,
    example,
    listen_options,
    open_ledger,
    select_accounts,
)
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.environment import is_loopback
from connect_worker.settings.model import Settings

#: A person waits for the page: the console gives up on a slow Redis after this time.
TIMEOUT_SECONDS = 2.0


@click.command(
    epilog=example("CONNECT_CONSOLE_PASSWORD=… connect-worker console --port 8765"),
)
@listen_options(
    port=8765,
    address_help="Where to listen; other addresses than this machine's own need a password.",
)
@account_option
def console(*, address: str, port: int, account: str) -> None:
    """Serve a web page that shows what `status`, `list` and `show` print.

    With CONNECT_CONSOLE_PASSWORD people sign in, and may rerun, repost, discard and pause; without
    it the console is read-only. It reads the ledger only, and calls neither Connect nor the
    broker. Only the id in CONNECT_API_KEY (before the colon) is needed.
    """
    # Tornado takes a moment to load, which `--help` does not need.
    from connect_worker.console.pages import Account, Deployment
    from connect_worker.console.server import serve

    settings = Settings.from_env()
    log_to_standard_error(settings.log_format, logging.INFO)
    accounts = {}
    for name in select_accounts(settings, account):
        of_account = settings_of(name)
        accounts[name or of_account.account] = Account(
            open_ledger(of_account, timeout_seconds=TIMEOUT_SECONDS),
            poll_seconds=of_account.poll_seconds,
            max_calls_per_second=of_account.max_calls_per_second,
            keep_days=of_account.keep_days,
        )
    if not settings.console_password and not is_loopback(address):
        raise click.UsageError(
            f"Anyone who can reach {address} could read the console: set CONNECT_CONSOLE_PASSWORD."
        )
    deployment = Deployment(
        accounts,
        password=settings.console_password,
        console_url=settings.console_url,
        flower_url=settings.flower_url,
        trusted_proxies=settings.trusted_proxies,
    )
    try:
        serve(
            deployment,
            address=address,
            port=port,
            ready=lambda bound: announce("console", address, bound),
        )
    except OSError as error:
        raise cannot_listen(address, port, error) from None
