"""``connect-worker metrics``: what Prometheus is told, over HTTP."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from connect_worker.cli.broker import remote_control
from connect_worker.cli.context import Exit, Refused, account_option, choose_accounts
from connect_worker.exceptions import SettingsError
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: A scrape waits ten seconds: Redis has to answer, or not, before.
TIMEOUT_SECONDS = 1.0


@click.command()
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; 0.0.0.0 lets other machines in, and nothing asks them for a password.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9808, show_default=True, help="0: a free one."
)
@click.option("--once", is_flag=True, help="Print the metrics and end.")
@account_option
def metrics(*, address: str, port: int, once: bool, account: str) -> None:
    """Serve Prometheus metrics, read from the ledger and the broker at each scrape.

    One exporter is enough for all accounts, wherever their workers are. It calls no Connect, so
    that of CONNECT_API_KEY it needs the part before the colon only.

    \b
    Examples:
      connect-worker metrics --port 9808 & curl --silent http://127.0.0.1:9808/metrics
    """
    # The client takes a moment to load; `--help` needs it not.
    from prometheus_client import generate_latest, start_http_server

    try:
        names = choose_accounts(Settings.from_env(), account)
        registry = make_registry({name: settings_of(name) for name in names})
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from None
    if once:
        click.echo(generate_latest(registry), nl=False)
        return
    # Before the server's threads, which inherit the mask: they leave the signals to this one.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise click.ClickException(f"{address}:{port}: {error.strerror}") from None
    click.echo(f"metrics at http://{address}:{server.server_port}/metrics", err=True)
    sys.stderr.flush()
    signal.sigwait(ends)
    server.shutdown()
    thread.join()


def make_registry(accounts: Mapping[str, Settings]) -> CollectorRegistry:
    """Return the metrics of these accounts, and none of this process.

    Args:
        accounts: The settings of each by its name, which is its label; "" for the only one.

    Raises:
        SettingsError: An account can't be told.
    """
    from prometheus_client import CollectorRegistry

    from connect_worker.ledger.redis import RedisLedger
    from connect_worker.operations.exporter import Exporter, Exporters

    exporters: list[Exporter] = []
    for name, settings in accounts.items():
        ledger = RedisLedger.from_url(
            settings.redis_url, account=settings.account, timeout_seconds=TIMEOUT_SECONDS
        )
        # The broker is one for all of them: the first one asks it.
        ask = no_lengths if exporters else queue_lengths
        label = name or settings.account
        exporters.append(Exporter(ledger, account=label, queue_lengths=ask))
    registry = CollectorRegistry()
    registry.register(Exporters(exporters))
    return registry


def no_lengths() -> Mapping[str, int]:
    """Return nothing: another one asks the broker."""
    return {}


def queue_lengths() -> Mapping[str, int] | None:
    """Return how many messages wait in each queue; None when the broker can't be reached."""
    try:
        return remote_control().queue_lengths()
    except ConnectionError as error:
        click.echo(error, err=True)
        return None
