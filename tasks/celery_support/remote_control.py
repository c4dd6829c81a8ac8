"""What the operator's commands ask the workers and the broker.

Celery's own remote control waits for a broker that is away as patiently as a worker does. A person
waits here, so that each function raises ConnectionError after a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, RecoverableConnectionError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import Finding
from connect_worker.ledger.scripts import remedy
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.accounts import at
from connect_worker.settings.urls import CERTIFICATE_REMEDY
from tasks.app import app
from tasks.celery_support.bootstrap import settings
from tasks.celery_support.deployment import (
    check_broker_deployment,
    replace_broker_deployment,
)
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
