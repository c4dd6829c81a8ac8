"""``connect-worker redis-acl``: the rules of the Redis user."""

from __future__ import annotations

import click

from connect_worker.cli.context import CommandError, Exit, example
from connect_worker.exceptions import LedgerUnavailable, SettingsError
from connect_worker.ledger.acl import USER, user_rules
from connect_worker.ledger.checks import check_version, server_info, version_of
from connect_worker.ledger.redis import OPERATOR_SECONDS, connect
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings


@click.command(
    "redis-acl",
    short_help="Print the ACL rules of the Redis user.",
    epilog=example(
        "connect-worker redis-acl --server-version 7.4 >> users.acl",
        "connect-worker redis-acl --setuser | sed s/PASSWORD/…/ | redis-cli --user admin --askpass",
    ),
)
@click.option(
    "--server-version",
    default="",
    metavar="VERSION",
    help="The version of Redis or Valkey, such as 7.4; without it the server is asked.",
)
@click.option(
    "--setuser", is_flag=True, help="Print a command for redis-cli, not a line of a file."
)
def redis_acl(*, server_version: str, setuser: bool) -> None:
    """Print the ACL rules of the Redis user that workers, beat, Flower and the commands need.

    The line is for Redis's ACL file or redis.conf; put a password in the place of PASSWORD. The
    user's name, the database, the broker and the queues are those of the settings
    (CONNECT_REDIS_URL, CONNECT_BROKER_URL, CONNECT_QUEUES, CONNECT_PREFIX).
    """
    try:
        settings = Settings.from_env()
        queues = [queue for name in accounts_of(settings) for queue in settings_of(name).queues]
    except SettingsError as error:
        raise CommandError(str(error), Exit.CONFIGURATION) from error
    try:
        with connect(settings.redis_url, timeout_seconds=OPERATOR_SECONDS, retries=0) as client:
            user = client.get_connection_kwargs().get("username") or USER
            info = {"redis_version": server_version} if server_version else server_info(client)
    except LedgerUnavailable as error:
        raise CommandError(
            f"The server's version is unknown, name it with --server-version: {error}",
            Exit.NO_LEDGER,
        ) from error
    if finding := check_version(info):
        raise CommandError(finding.message, Exit.USAGE)
    rules = user_rules(settings, version=version_of(info), queues=queues)
    click.echo(" ".join(["ACL SETUSER" if setuser else "user", user, *rules]))
