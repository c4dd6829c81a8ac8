"""What the operator's commands ask of the workers, through the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import ChannelError, OperationalError

from connect_worker.domain.states import RequestKind
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.accounts import at
from tasks import queues
from tasks.app import app
from tasks.celery_support.bootstrap import settings
from tasks.celery_support.publisher import CeleryPublisher


def workers(*, seconds: float) -> list[str]:
    """Return the names of the workers that answer within this time.

    Raises:
        ConnectionError: The broker can't be reached.
    """
    with _broker() as connection:
        answers = app.control.ping(timeout=seconds, connection=connection)
    return [name for answer in answers or () for name in answer]


def queues_taken(*, seconds: float) -> dict[str, list[str]]:
    """Return the queues of which the workers that answer in time take messages, by worker.

    Raises:
        ConnectionError: The broker can't be reached.
    """
    with _broker() as connection:
        found = app.control.inspect(timeout=seconds, connection=connection).active_queues()
    return {worker: [queue["name"] for queue in taken] for worker, taken in (found or {}).items()}


def send_polls(kinds: Sequence[RequestKind], account: str = "") -> None:
    """Ask the workers to poll these kinds of an account now.

    Raises:
        ConnectionError: The broker can't be reached.
    """
    task, queue = at("poll.now", account), at("control", account)
    with _broker() as connection:
        for kind in kinds:
            app.send_task(task, (kind.value,), queue=queue, connection=connection, retry=False)


def publisher(account: str = "") -> CeleryPublisher:
    """Return what sends wake-up calls of an account."""
    return CeleryPublisher(account)


def queue_lengths() -> dict[str, int]:
    """Return how many messages wait in each queue.

    Raises:
        ConnectionError: The broker can't be reached.
    """
    with _broker() as connection:
        return queues.lengths(connection)


@contextmanager
def _broker() -> Iterator[Any]:
    """Connect to the broker, without the patience that a worker has."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
            yield connection
    except (OperationalError, ChannelError, OSError, KeyError) as error:
        # kombu's word for a scheme that it does not know is a KeyError.
        said = mask_secrets(str(error))
        variable = "CONNECT_BROKER_URL" if settings().has_own_broker else "CONNECT_REDIS_URL"
        raise ConnectionError(f"The broker can't be reached: check {variable} ({said})") from error
