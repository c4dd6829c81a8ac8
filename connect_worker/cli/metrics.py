"""``connect-worker metrics``: metrics for Prometheus, over HTTP."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from connect_worker.cli.celery import remote_control
from connect_worker.cli.context import (
    account_option,
    announce,
    cannot_listen,
    example,
    listen_options,
    select_accounts,
)
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.observability.output import escape_lines
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: A scrape waits ten seconds: the exporter gives up on a slow Redis long before.
TIMEOUT_SECONDS = 1.0


@click.command(
    epilog=example(
        "connect-worker metrics --port 9808 & curl --silent http://127.0.0.1:9808/metrics"
    )
)
@listen_options(
    port=9808,
    address_help="Where to listen; with 0.0.0.0 other machines can read the metrics, "
    "without a password.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name by which Prometheus calls the exporter; IP addresses, this machine's name, "
    "and names without a dot or in .internal, .local and .svc need none.",
)
@click.option("--once", is_flag=True, help="Print the metrics and exit.")
@account_option
def metrics(*, address: str, port: int, hosts: Sequence[str], once: bool, account: str) -> None:
    """Serve Prometheus metrics; each scrape reads the ledger and the broker.

    One exporter is enough for all accounts and all their workers. It does not call Connect, and
    needs of CONNECT_API_KEY only the part before the colon.
    """
    # Both take a moment to load, which `--help` does not need.
    from prometheus_client import generate_latest

    from connect_worker.operations.exporter import serve

    settings = Settings.from_env()
    if not once:
        log_to_standard_error(settings.log_format, logging.INFO)
    names = select_accounts(settings, account)
    registry = make_registry({name: settings_of(name) for name in names})
    if once:
        text = generate_latest(registry)
        # Programs read the format as it is; a product's name must not command a terminal.
        shown = escape_lines(text.decode(), indent="") if sys.stdout.isatty() else text
        click.echo(shown, nl=False)
        return
    try:
        serve(
            registry,
            address=address,
            port=port,
            host_names=[*hosts, socket.gethostname()],
            ready=lambda bound: announce("metrics", address, bound, "/metrics"),
        )
    except OSError as error:
        raise cannot_listen(address, port, error) from None


def make_registry(accounts: Mapping[str, Settings]) -> CollectorRegistry:
    """Return the metrics of these accounts, without those of this process.

    Args:
        accounts: The settings of each account by name, which becomes its label; "" for the only
            account.

    Raises:
        SettingsError: A setting of an account is not valid.
    """
    from prometheus_client import CollectorRegistry

    from connect_worker.ledger.redis import RedisLedger
    from connect_worker.operations.exporter import CombinedExporter, Exporter

    exporters: list[Exporter] = []
    for name, settings in accounts.items():
        ledger = RedisLedger.from_url(
            settings.redis_url,
            account=settings.account,
            prefix=settings.key_prefix,
            timeout_seconds=TIMEOUT_SECONDS,
            retries=0,
        )
        # All accounts share one broker: the first exporter asks it.
        lengths = no_queue_lengths if exporters else queue_lengths
        label = name or settings.account
        exporters.append(
            Exporter(
                ledger,
                account=label,
                queue_lengths=lengths,
                poll_seconds=settings.poll_seconds,
            )
        )
    registry = CollectorRegistry()
    registry.register(CombinedExporter(exporters))
    return registry


def no_queue_lengths() -> Mapping[str, int]:
    """Return nothing: another exporter asks the broker."""
    return {}


def queue_lengths() -> Mapping[str, int] | None:
    """Return how many messages wait in each queue; None when the broker can't be reached."""
    try:
        return remote_control().queue_lengths()
    except ConnectionError as error:
        click.echo(error, err=True)
        return None
