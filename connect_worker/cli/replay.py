"""``connect-worker replay``: where a processor would now decide differently."""

from __future__ import annotations

from typing import Any

import click

from connect_worker.cli.context import Exit, Refused, account_option, example, write_json
from connect_worker.domain.states import JSON


@click.command(
    short_help="Run a processor over settled requests; show where it differs.",
    epilog=example(
        "connect-worker replay my_vendor.processors:Purchases --last 50",
        "connect-worker replay ./processors.py --last 20 --json",
    ),
)
@click.argument("automation", metavar="MODULE[:CLASS]")
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many requests of each kind, the newest first.",
)
@account_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
def replay(*, automation: str, last: int, account: str, as_json: bool) -> None:
    """Run a processor over the last settled requests, and show where it would decide otherwise.

    They are read from the account of the environment and processed as if they waited again, with
    what is stored in them now. Connect is only read. But the processor's calls to YOUR OWN SYSTEMS
    ARE MADE: give it a test system, or one that knows the idempotency keys.

    Exit code 0 when it decides as before, 1 when it differs somewhere.
    """
    from connect_worker.api.client import client_for
    from connect_worker.cli.target import automations_in, config_of, quiet
    from connect_worker.dry_run.history import DECIDED_STATUSES, latest
    from connect_worker.exceptions import Message
    from connect_worker.resources.automation import product_list

    chosen = [item for item in automations_in(automation) if item.kind in DECIDED_STATUSES]
    if not chosen:
        raise Refused("usage listings are never settled: there is nothing to compare", Exit.USAGE)
    config = config_of(account)
    rows: list[dict[str, JSON]] = []
    for item in chosen:
        wanted = product_list(item.products) or config.products
        try:
            with quiet():
                found = latest(client_for(config), item.kind, products=wanted, last=last)
                rows += [_row(item, document, config) for document in found]
        except Message as error:
            raise Refused(f"settled requests can't be read: {error}", Exit.NO_ANSWER) from error
    differing = [row for row in rows if row["difference"]]
    if as_json:
        write_json({"replayed": len(rows), "differing": differing})
    else:
        _show(rows, differing)
    raise SystemExit(Exit.NEEDS_ATTENTION if differing else Exit.DONE)


def _row(automation: Any, document: JSON, config: Any) -> dict[str, JSON]:
    from connect_worker.domain.secrets import passwords_in
    from connect_worker.dry_run.history import as_pending, difference
    from connect_worker.dry_run.runner import dry_run
    from connect_worker.dry_run.transport import LiveTransport
    from connect_worker.observability.masking import register_scoped_secrets, secret_scope
    from connect_worker.operations.formatting import clean

    kind = automation.kind
    run = dry_run(
        automation, as_pending(kind, document), config=config, reads=LiveTransport(config)
    )
    with secret_scope():
        register_scoped_secrets(passwords_in(document))
        if run.decided is None and run.error is not None:
            found = f"was {document.get('status')}, now {type(run.error).__name__}: {run.error}"
        else:
            found = difference(document, run.decided)
        return {
            "id": clean(str(document.get("id"))),
            "kind": kind.value,
            "automation": automation.__name__,
            "difference": clean(found),
        }


def _show(rows: list[dict[str, JSON]], differing: list[dict[str, JSON]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if differing:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in differing:
            table.add_row(row["id"], row["difference"])
        console.print(table, markup=False)
    said = f"{len(rows)} settled requests, {len(differing)} would be decided differently."
    console.print(said, markup=False, highlight=False)
