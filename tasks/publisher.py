"""Wake-up calls: a small message per request, many of them in one trip to the broker."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from celery.app.amqp import task_message
from kombu.exceptions import (  # type: ignore[attr-defined]  # celery-types is older than kombu 5.7
    BatchPublishError,
    OperationalError,
)

from connect_worker.accounts import at
from connect_worker.logger import LogEvent, logger
from connect_worker.processing.states import Kind, Ref
from tasks.app import app
from tasks.queues import lengths

#: Commands in one pipeline to the broker; a message is one, the event about it another.
BATCH = 500


class CeleryPublisher:
    """Publishes wake-up calls: one task per request, on the queue of its kind and account.

    Args:
        account: As `CONNECT_ACCOUNTS` has it; "" for the only one.
    """

    def __init__(self, account: str = "") -> None:
        self._tasks = {kind: at(f"process.{kind}", account) for kind in Kind}
        self._queues = {kind: at(kind.value, account) for kind in Kind}

    def publish(self, refs: Iterable[Ref]) -> None:
        """Send the messages; when the broker is away they are lost, and the sweep sends others."""
        waiting = list(refs)
        if not waiting:
            return
        try:
            # In one pipeline: a round trip for each would take the larger part of a poll's time.
            with (
                app.producer_pool.acquire(block=True) as producer,
                producer.batch(BATCH),  # type: ignore[attr-defined]  # likewise
            ):
                for ref in waiting:
                    task = self._tasks[ref.kind]
                    app.amqp.send_task_message(
                        producer, task, _message(task, ref), queue=self._queues[ref.kind]
                    )
        except (BatchPublishError, OperationalError) as error:
            logger.warning(LogEvent("messages lost", requests=len(waiting), error=error))

    def backlogged(self) -> list[Kind]:
        """Return the kinds whose queues hold messages; all of them while the broker is away."""
        try:
            with app.connection_or_acquire() as connection:
                waiting = lengths(connection, self._queues.values())
        except OperationalError as error:
            logger.warning(LogEvent("broker not reachable", error=error))
            return list(Kind)
        return [kind for kind in Kind if waiting[self._queues[kind]]]


def _message(task: str, ref: Ref) -> Any:
    """Return the message for one request: Celery's protocol 2, without what is at its default.

    Half as large as what `apply_async` sends: of a backlog Redis holds one for each request.
    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    task_id = f"{ref.id}.{secrets.token_hex(4)}"
    shown = {"root_id": task_id, "retries": 0}
    arguments = f"('{ref.id}',)"
    return task_message(
        headers={
            "lang": "py",
            "task": task,
            "id": task_id,
            "argsrepr": arguments,
            "ignore_result": True,
            **shown,
        },
        properties={"correlation_id": task_id},
        body=((ref.id,), {}, {}),
        sent_event={
            "uuid": task_id,
            "name": task,
            "args": arguments,
            "kwargs": "{}",
            **shown,
        },
    )
