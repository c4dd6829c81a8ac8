"""Keeps two deployments apart that use the same queues of one broker by mistake.

Celery does not notice them: each takes messages of the other, and drops those whose requests its
ledger does not know. So the workers and beat of the second one do not start;
tests/acceptance/test_two_deployments.py.

On Redis a hash has the owner of each account's queues: `ledger/checks.py`. RabbitMQ stores no value
for a client. There it is in an argument of an exchange to which nothing is sent, because RabbitMQ
compares that argument when the exchange is declared again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import redis
from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed

from connect_worker.ledger.checks import (
    Finding,
    check_deployment,
    foreign,
    replace_deployment,
    unchecked,
)
from connect_worker.settings.accounts import DEPLOYMENT, DeploymentIdentity, at, identity_of
from tasks.celery_support.bootstrap import settings

_CURRENT: Final = re.compile("current is '([^']*)'")


@cache
def identity() -> DeploymentIdentity:
    """Return the deployment of this process."""
    return identity_of(settings(), settings)


def check_broker_deployment(connection: Any, *, store: bool = True) -> list[Finding]:
    """Return whether this deployment's queues are another's at the broker.

    Args:
        connection: Kombu's; a channel of it is opened.
        store: Whether queues that are free become this deployment's.

    Raises:
        LedgerUnavailable: The broker's Redis can't be reached.
    """
    if connection.transport.driver_type == "redis":
        with _redis(connection) as client:
            return check_deployment(client, identity(), store=store)
    if connection.transport.driver_type == "amqp":
        return list(_check_exchanges(connection, store=store))
    return []


def replace_broker_deployment(connection: Any) -> None:
    """Make the queues this deployment's, in place of any other.

    Raises:
        LedgerUnavailable: The broker's Redis can't be reached, or refuses the write.
    """
    if connection.transport.driver_type == "redis":
        with _redis(connection) as client:
            replace_deployment(client, identity())
    elif connection.transport.driver_type == "amqp":
        for name, account in identity().accounts.items():
            with connection.channel() as channel:
                channel.exchange_delete(at(DEPLOYMENT, name))
                _declare(channel, name, account)


@contextmanager
def _redis(connection: Any) -> Iterator[redis.Redis]:
    """Yield a client with kombu's way to the server, and without its prefix."""
    with connection.channel() as channel:
        yield redis.Redis(connection_pool=channel.client.connection_pool)


def _check_exchanges(connection: Any, *, store: bool) -> Iterator[Finding]:
    for name, account in identity().accounts.items():
        channel = connection.channel()
        try:
            if not store:
                channel.exchange_declare(at(DEPLOYMENT, name), "direct", passive=True)
            _declare(channel, name, account)
        except NotFound:
            continue
        except PreconditionFailed as error:
            current = _CURRENT.search(str(error))
            yield foreign(identity(), name, f"account {current[1]}" if current else "another one")
        except AccessRefused as error:
            yield unchecked(error)
        finally:
            channel.close()


def _declare(channel: Any, name: str, account: str) -> None:
    channel.exchange_declare(
        at(DEPLOYMENT, name),
        "direct",
        durable=True,
        auto_delete=False,
        # An error quotes 255 characters at most: the account's name in the ledger is enough.
        arguments={"alternate-exchange": account.partition(" ")[0]},
    )
