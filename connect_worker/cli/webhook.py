"""``connect-worker webhook``: receive Connect's notifications, and register for them in Connect."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from connect_worker.cli.celery import remote_control
from connect_worker.cli.context import (
    CommandError,
    Exit,
    account_option,
    announce,
    cannot_listen,
    example,
    json_option,
    listen_options,
    select_accounts,
    write_json,
)
from connect_worker.domain.kinds import OBJECT_CLASSES
from connect_worker.exceptions import Message, RegistrationError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.observability.output import sanitize
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings
from connect_worker.webhook.subscriptions import (
    WebhookSubscriptions,
    compare,
    load_subscriptions,
    product_of,
    secret_of,
)

#: Connect waits for the answer: the receiver gives up on a slow Redis after this time.
TIMEOUT_SECONDS = 1.0
DEFAULT_PORT = 8766

#: What `register` did, by the name of the change.
_DONE = {"create": "created", "update": "updated", "keep": "unchanged"}

_url_option = click.option(
    "--url", default="", help="The receiver's public address.  [default: CONNECT_WEBHOOK_URL]"
)


@click.group(
    invoke_without_command=True, short_help="Receive Connect's notifications, and register."
)
@listen_options(port=DEFAULT_PORT)
@click.pass_context
def webhook(context: click.Context, *, address: str, port: int) -> None:
    """Receive Connect's notifications, so that a request is processed at once.

    `webhook` alone means `webhook serve`. Polls continue, and find what no notification reported.
    """
    if context.invoked_subcommand is None:
        context.invoke(
            serve, address=address, port=port, account="", validators=0, metrics_port=None
        )


@webhook.command(
    epilog=example(
        "connect-worker webhook serve --address 0.0.0.0 --port 8766",
        "connect-worker webhook serve --validators 4 --metrics-port 8767",
    )
)
@listen_options(port=DEFAULT_PORT)
@click.option(
    "--validators",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    metavar="NUMBER",
    help="How many processes load CONNECT_PROCESSORS and run the validations in them.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="The port for Prometheus's scrapes of the validations.  [default: none]",
)
@account_option
def serve(
    *, address: str, port: int, account: str, validators: int, metrics_port: int | None
) -> None:
    """Receive notifications, check their signatures, and wake the workers.

    Each account needs its CONNECT_WEBHOOK_SECRET. Of CONNECT_API_KEY the receiver needs only the
    part before the colon, because it does not call Connect. Put a TLS proxy in front of it.

    With --validators, it also answers Connect's validations, with your code.
    """
    # Tornado takes a moment to load, which `--help` does not need.
    from connect_worker.webhook.server import Account
    from connect_worker.webhook.server import serve as serve_webhooks
    from connect_worker.webhook.validation import ValidatorPool

    settings = Settings.from_env()
    log_to_standard_error(settings.log_format, logging.INFO)
    accounts = {}
    for name in select_accounts(settings, account):
        of_account = settings_of(name)
        accounts[name] = Account(
            RedisLedger.from_url(
                of_account.redis_url,
                account=of_account.account,
                prefix=of_account.key_prefix,
                timeout_seconds=TIMEOUT_SECONDS,
            ),
            publish=remote_control().publisher(name).publish_hints,
            secret=secret_of(of_account),
            requeue_seconds=of_account.lease_seconds,
        )
    pool = (
        ValidatorPool(accounts, processes=validators, seconds=settings.validation_seconds)
        if validators
        else None
    )
    try:
        serve_webhooks(
            accounts,
            validators=pool,
            metrics_port=metrics_port,
            trusted_proxies=settings.trusted_proxies,
            address=address,
            port=port,
            ready=lambda bound: announce("notifications", address, bound),
        )
    except OSError as error:
        raise cannot_listen(address, port, error) from None
    except RegistrationError as error:
        raise CommandError(str(error), Exit.CONFIGURATION) from None


@webhook.command(epilog=example("connect-worker webhook register --url https://hooks.example.com"))
@_url_option
@json_option
@account_option
def register(*, url: str, as_json: bool, account: str) -> None:
    """Create the missing webhooks in Connect, and correct those that differ.

    One webhook for each kind that has a processor, each type that has a validation, and each
    product: the products of CONNECT_PRODUCTS and of the automations, or else all products of the
    account.
    """
    rows: list[dict[str, str]] = []
    for subscriptions in _subscriptions(account, url):
        with _connect_errors():
            for change in compare(subscriptions.expected(), subscriptions.existing()):
                result = {"action": _DONE[change.action], "id": subscriptions.apply(change)}
                target = change.subscription
                about = {
                    "class": OBJECT_CLASSES[target.kind],
                    "type": target.type,
                    "product": target.product,
                }
                rows.append({**subscriptions.account_column, **result, **about, "url": target.url})
    _print_rows(rows, as_json=as_json)


@webhook.command()
@_url_option
@json_option
@account_option
def unregister(*, url: str, as_json: bool, account: str) -> None:
    """Delete the webhooks that point to this receiver from Connect; other webhooks stay."""
    rows = []
    for subscriptions in _subscriptions(account, url):
        with _connect_errors():
            subscriptions.require_url()
            for hook in subscriptions.existing():
                if subscriptions.owns(hook):
                    subscriptions.delete(str(hook["id"]))
                    rows.append({**subscriptions.account_column, "action": "deleted", **_row(hook)})
    _print_rows(rows, as_json=as_json)


@webhook.command("list")
@_url_option
@json_option
@account_option
def list_webhooks(*, url: str, as_json: bool, account: str) -> None:
    """List the account's webhooks, and which of them point to this receiver."""
    rows = []
    for subscriptions in _subscriptions(account, url):
        with _connect_errors():
            for hook in subscriptions.existing():
                points = "here" if subscriptions.owns(hook) else "elsewhere"
                active = "active" if hook.get("active") else "inactive"
                columns = {"points": points, "is": active, **_row(hook)}
                rows.append({**subscriptions.account_column, **columns})
    _print_rows(rows, as_json=as_json)


def _subscriptions(account: str, url: str) -> Iterator[WebhookSubscriptions]:
    """Yield the subscriptions of each account; an error ends the command with one sentence."""
    try:
        for name in select_accounts(Settings.from_env(), account):
            # What a vendor's module prints is not part of the command's output.
            with contextlib.redirect_stdout(sys.stderr):
                subscriptions = load_subscriptions(name, url)
            yield subscriptions
    except RegistrationError as error:
        raise CommandError(str(error), Exit.CONFIGURATION) from None


@contextlib.contextmanager
def _connect_errors() -> Iterator[None]:
    """End the command with one sentence when Connect refuses a call."""
    try:
        yield
    except Message as error:
        raise CommandError(f"Connect refused the call: {error}", Exit.NOT_DONE) from None


def _row(hook: Mapping[str, Any]) -> dict[str, str]:
    return {
        "id": str(hook.get("id", "")),
        "class": str(hook.get("object_class", "")),
        "type": str(hook.get("type") or "event"),
        "product": product_of(hook),
        "url": str(hook.get("external_url", "")),
    }


def _print_rows(rows: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    if as_json:
        write_json({"webhooks": rows})
        return
    for row in rows:
        click.echo("  ".join(sanitize(text) for text in row.values()))
    if not rows:
        click.echo("No webhooks.")
