"""``connect-worker webhook``: receive Connect's notifications, and have Connect send them here."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from connect_worker.cli.broker import remote_control
from connect_worker.cli.context import (
    Exit,
    Refused,
    account_option,
    choose_accounts,
    example,
    write_json,
)
from connect_worker.domain.kinds import OBJECT_CLASSES
from connect_worker.exceptions import Message, RegistrationError, SettingsError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.observability.logging import prepare_handler
from connect_worker.operations.formatting import clean
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings
from connect_worker.webhook.subscriptions import Office, compare, open_office, product_of, secret_of

#: Connect waits for the answer: Redis has to answer, or not, before.
TIMEOUT_SECONDS = 1.0
DEFAULT_PORT = 8766

#: What was done, by the step's name.
_DONE = {"create": "created", "update": "updated", "keep": "is there"}

_ADDRESS = click.option(
    "--address", default="127.0.0.1", show_default=True, help="Where to listen."
)
_PORT = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="0: a free one.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
_URL = click.option(
    "--url", default="", help="The receiver's public address.  [default: CONNECT_WEBHOOK_URL]"
)


@click.group(invoke_without_command=True)
@_ADDRESS
@_PORT
@click.pass_context
def webhook(context: click.Context, *, address: str, port: int) -> None:
    """Receive Connect's notifications, so that a request is processed at once.

    Without a command it serves. Polling goes on, and finds what no notification has told.
    """
    if context.invoked_subcommand is None:
        context.invoke(serve, address=address, port=port, account="")


@webhook.command(epilog=example("connect-worker webhook serve --address 0.0.0.0 --port 8766"))
@_ADDRESS
@_PORT
@account_option
def serve(*, address: str, port: int, account: str) -> None:
    """Listen for notifications, check who signed them, and wake the workers.

    Each account needs its CONNECT_WEBHOOK_SECRET. Of CONNECT_API_KEY the part before the colon is
    enough: Connect is called by the workers only. Put a TLS proxy before it.
    """
    # Tornado takes a moment to load; `--help` needs it not.
    from connect_worker.webhook.handler import Account
    from connect_worker.webhook.server import serve as listen

    try:
        settings = Settings.from_env()
        served = {}
        for name in choose_accounts(settings, account):
            chosen = settings_of(name)
            served[name] = Account(
                RedisLedger.from_url(
                    chosen.redis_url, account=chosen.account, timeout_seconds=TIMEOUT_SECONDS
                ),
                notify=remote_control().publisher(name).publish_hints,
                secret=secret_of(chosen),
                requeue_seconds=chosen.lease_seconds,
            )
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from None
    handler = logging.StreamHandler(sys.stderr)
    prepare_handler(handler, settings.log_format)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        listen(served, address=address, port=port, ready=lambda at: _say(address, at))
    except OSError as error:
        raise click.ClickException(f"{address}:{port}: {error.strerror}") from None


@webhook.command(epilog=example("connect-worker webhook register --url https://hooks.example.com"))
@_URL
@_JSON
@account_option
def register(*, url: str, as_json: bool, account: str) -> None:
    """Create in Connect what is missing for notifications to come here; change what is wrong.

    One webhook for each kind that has a processor and each product: those of CONNECT_PRODUCTS and
    of the automations, or else all of the account.
    """
    rows: list[dict[str, str]] = []
    for office in _offices(account, url):
        with _asking():
            for step in compare(office.wanted(), office.found()):
                item = {"action": _DONE[step.action], "id": office.carry_out(step)}
                about = {"class": OBJECT_CLASSES[step.wanted.kind], "product": step.wanted.product}
                rows.append({**office.named, **item, **about, "url": step.wanted.url})
    _answer(rows, as_json=as_json)


@webhook.command()
@_URL
@_JSON
@account_option
def unregister(*, url: str, as_json: bool, account: str) -> None:
    """Delete the webhooks that point here from Connect; no others."""
    rows = []
    for office in _offices(account, url):
        with _asking():
            office.require_url()
            for hook in office.found():
                if office.owns(hook):
                    office.delete(str(hook["id"]))
                    rows.append({**office.named, "action": "deleted", **_row(hook)})
    _answer(rows, as_json=as_json)


@webhook.command("list")
@_URL
@_JSON
@account_option
def list_webhooks(*, url: str, as_json: bool, account: str) -> None:
    """List the account's webhooks, and which of them point here."""
    rows = []
    for office in _offices(account, url):
        with _asking():
            for hook in office.found():
                here = "here" if office.owns(hook) else "elsewhere"
                active = "active" if hook.get("active") else "off"
                rows.append({**office.named, "points": here, "is": active, **_row(hook)})
    _answer(rows, as_json=as_json)


def _offices(account: str, url: str) -> Iterator[Office]:
    """Yield the accounts' offices; what goes wrong with one is told in a sentence."""
    try:
        for name in choose_accounts(Settings.from_env(), account):
            # What a vendor's module prints is no part of the answer.
            with contextlib.redirect_stdout(sys.stderr):
                office = open_office(name, url)
            yield office
    except (SettingsError, RegistrationError) as error:
        raise Refused(str(error), Exit.NO_LEDGER) from None


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Tell in a sentence what is missing here, or what Connect refused."""
    try:
        yield
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from None
    except Message as error:
        raise Refused(f"Connect did not do it: {error}", Exit.NOT_DONE) from None


def _row(hook: Mapping[str, Any]) -> dict[str, str]:
    return {
        "id": str(hook.get("id", "")),
        "class": str(hook.get("object_class", "")),
        "product": product_of(hook),
        "url": str(hook.get("external_url", "")),
    }


def _answer(rows: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    if as_json:
        write_json({"webhooks": rows})
        return
    for row in rows:
        click.echo("  ".join(clean(text) for text in row.values()))
    if not rows:
        click.echo("There are none.")


def _say(address: str, port: int) -> None:
    place = f"[{address}]" if ":" in address else address
    click.echo(f"notifications at http://{place}:{port}/", err=True)
    sys.stderr.flush()
