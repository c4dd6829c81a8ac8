"""What the operator's commands ask the workers and the broker.

Celery's own remote control waits for a broker that is away as patiently as a worker does. A person
waits here, so that each function raises ConnectionError after a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import ChannelError, OperationalError

from connect_worker.domain.states import RequestKind
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.accounts import at
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import CERTIFICATE_REMEDY
from tasks.app import app
from tasks.celery_support.publisher import CeleryPublisher, queue_lengths


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
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
            yield connection
    except (OperationalError, ChannelError, OSError, KeyError) as error:
        # kombu raises a KeyError for a URL scheme that it does not know.
        text = mask_secrets(str(error))
        has_own_broker = Settings.from_env().has_own_broker
        variable = "CONNECT_BROKER_URL" if has_own_broker else "CONNECT_REDIS_URL"
        if "CERTIFICATE_VERIFY_FAILED" in text:
            problem = f"The certificate of the broker in {variable} is not trusted"
            raise ConnectionError(f"{problem}: {CERTIFICATE_REMEDY} ({text})") from error
        raise ConnectionError(f"The broker can't be reached: check {variable} ({text})") from error
