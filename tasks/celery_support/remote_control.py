"""What the operator's commands ask the workers and the broker, and whose the queues are.

Celery's own remote control waits for a broker that is away as patiently as a worker does. A person
waits here, so that each method raises ConnectionError after a few seconds.

Celery does not notice two deployments that use the same queues by mistake: each takes messages of
the other, and drops those whose requests its ledger does not know. So the workers and beat of the
second one do not start; tests/acceptance/test_two_deployments.py. On Redis a hash has the owner of
each account's queues: `ledger/checks.py`. RabbitMQ stores no value for a client. There it is in an
argument of an exchange to which nothing is sent, because RabbitMQ compares that argument when the
exchange is declared again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

import redis
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    RecoverableConnectionError,
)
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import (
    Finding,
    check_deployment,
    foreign,
    replace_deployment,
    unchecked,
)
from connect_worker.ledger.scripts import remedy
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.accounts import DEPLOYMENT, DeploymentIdentity, at, identity_of
from connect_worker.settings.urls import CERTIFICATE_REMEDY
from tasks.app import app
from tasks.celery_support.bootstrap import settings
from tasks.celery_support.publisher import CeleryPublisher, queue_lengths

#: How long each step waits for the broker: to connect, to write, to read.
STEP_SECONDS: Final = 2


class RemoteControl:
    """Each method raises ConnectionError when the broker can't be reached."""

    def workers(self, *, seconds: float) -> list[str]:
        """Return the names of the workers that answer within this time."""
        with _broker() as connection:
            answers = app.control.ping(timeout=seconds, connection=connection)
        return [name for answer in answers or () for name in answer]

    def consumed_queues(self, *, seconds: float) -> dict[str, list[str]]:
        """Return by worker the queues from which it takes messages, of those that answer in
        time."""
        with _broker() as connection:
            answers = app.control.inspect(timeout=seconds, connection=connection).active_queues()
        # Anyone who can write to the broker can answer.
        return {
            worker: [str(queue["name"]) for queue in queues if "name" in queue]
            for worker, queues in (answers or {}).items()
            if isinstance(queues, list) and all(isinstance(queue, dict) for queue in queues)
        }

    def check_deployment(self, *, take_over: bool = False) -> list[Finding]:
        """Return whether another deployment has the queues.

        Args:
            take_over: Make them this deployment's first.
        """
        with _broker() as connection:
            if take_over:
                replace_broker_deployment(connection)
            return check_broker_deployment(connection, store=False)

    def send_polls(self, kinds: Sequence[RequestKind], account: str = "") -> None:
        """Ask the workers to poll these kinds of an account now."""
        task, queue = at("poll.now", account), at("control", account)
        with _broker() as connection:
            for kind in kinds:
                app.send_task(task, (kind.value,), queue=queue, connection=connection, retry=False)

    def publisher(self, account: str = "") -> CeleryPublisher:
        """Return what sends wake-up messages of an account; it waits for no broker."""
        return CeleryPublisher(account)

    def queue_lengths(self) -> dict[str, int]:
        """Return how many messages wait in each queue."""
        with _broker() as connection:
            return queue_lengths(connection)


@contextmanager
def _broker() -> Iterator[Any]:
    """Connect to the broker, and give up soon."""
    connection = app.connection_for_write(
        connect_timeout=STEP_SECONDS, transport_options=_timeouts(app.conf.broker_url)
    )
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=STEP_SECONDS)
        yield connection
    except (
        *(AMQPError, OperationalError, OSError, RedisError, KeyError),
        LedgerUnavailable,
    ) as error:
        # kombu raises a KeyError for a URL scheme that it does not know.
        raise ConnectionError(mask_secrets(describe_failure(error))) from error
    finally:
        # To close it in order writes to the broker.
        with suppress(Exception):
            connection.release()


def _timeouts(url: str) -> dict[str, float]:
    """Return the transport's options for short waits."""
    if url.startswith("amqp"):
        return {"read_timeout": STEP_SECONDS, "write_timeout": STEP_SECONDS}
    return {"socket_timeout": STEP_SECONDS, "socket_connect_timeout": STEP_SECONDS}


def describe_failure(error: Exception) -> str:
    """Say in one sentence what is wrong with the broker, and what to do."""
    variable = "CONNECT_BROKER_URL" if settings().has_own_broker else "CONNECT_REDIS_URL"
    # kombu raises an error of its own from the library's.
    cause = error.__cause__ if isinstance(error, OperationalError) else error
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        what = f"The certificate of the broker in {variable} is not trusted: {CERTIFICATE_REMEDY}"
    elif isinstance(cause, ResponseError):
        # Redis answers, and refuses what a connection writes.
        what = remedy(cause)
    elif isinstance(cause, NotAllowed):
        what = (
            "RabbitMQ has no such virtual host, or its user may not use it: check the end of "
            f"{variable}, such as /vhost, and the user's permissions"
        )
    elif isinstance(cause, AccessRefused):
        what = f"RabbitMQ refused the user: check {variable}, and the user's permissions"
    elif isinstance(cause, TimeoutError | RedisTimeoutError):
        what = f"The broker did not answer in time: check its load, and the network to {variable}"
    elif isinstance(cause, AMQPError) and not isinstance(cause, RecoverableConnectionError):
        what = "RabbitMQ refused what was sent: see its log"
    else:
        what = f"The broker can't be reached: check {variable}"
    return f"{what} ({error})"


# ---- whose the queues are

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
