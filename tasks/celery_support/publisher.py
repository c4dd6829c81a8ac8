"""Wake-up messages: one small message per request, many messages in one round trip to the broker.

Answers two gaps of Celery 5.6: `apply_async` sends one message per round trip, and each message is
twice as large as necessary. tests/unit/tasks/test_celery_gaps.py compares the sizes,
tests/integration counts a poll's round trips. `queue_lengths` answers a gap of kombu 5.7: a
restarted RabbitMQ breaks the connections of a pool, and its client does not reconnect;
tests/faults/test_rabbitmq.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celery.app.amqp import task_message
from kombu.exceptions import (  # type: ignore[attr-defined]  # celery-types is older than kombu 5.7
    BatchPublishError,
    ChannelError,
    OperationalError,
)

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.states import (
    NO_ROUTES,
    OWN_QUEUE,
    Backlog,
    RequestKey,
    RequestKind,
    Route,
    Routes,
    route_for,
)
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.accounts import at
from tasks.app import app

#: Commands in one pipeline to the broker; a message is one, the event about it another.
BATCH = 500


class CeleryPublisher:
    """Publishes wake-up messages: one task per request, on the queue of its automation.

    Args:
        account: A name of `CONNECT_ACCOUNTS`; "" for the only one.
        routes: The automations that have a queue or a priority of their own.
        products: Returns the product of each request; called only where there are routes.
    """

    def __init__(
        self,
        account: str = "",
        *,
        routes: Routes = NO_ROUTES,
        products: Callable[[Sequence[RequestKey]], Sequence[str]] | None = None,
    ) -> None:
        self._account = account
        self._tasks = {kind: at(f"process.{kind}", account) for kind in RequestKind}
        self._refresh, self._control = at("refresh", account), at("control", account)
        self._routes = routes
        self._products = products

    def publish(self, refs: Iterable[RequestKey]) -> None:
        """Send the messages. While the broker is away they are lost, and the sweep sends others."""
        waiting = list(refs)
        routed = list(zip(waiting, self._routes_of(waiting), strict=True))
        # A poll has thousands of messages and a few destinations.
        destinations = {
            (kind, route): (self._queue(kind, route), _priority(route))
            for kind, route in {(ref.kind, route) for ref, route in routed}
        }
        self._send(
            [
                (self._tasks[ref.kind], ref.id, *destinations[ref.kind, route])
                for ref, route in routed
            ]
        )

    def publish_hints(self, hints: Iterable[ChangeHint]) -> None:
        """Send the messages. The sweep replaces a lost one here too."""
        self._send([(self._refresh, str(hint), self._control, {}) for hint in hints])

    def _send(self, waiting: Sequence[tuple[str, str, str, dict[str, int]]]) -> None:
        """Send messages: for each the task, its argument, the queue and options."""
        if not waiting:
            return
        try:
            # In one pipeline: a round trip for each would take the larger part of a poll's time.
            with (
                app.producer_pool.acquire(block=True) as producer,
                producer.batch(BATCH),  # type: ignore[attr-defined]  # as above
            ):
                for task, argument, queue, options in waiting:
                    message = _message(task, argument)
                    app.amqp.send_task_message(producer, task, message, queue=queue, **options)
        except (BatchPublishError, OperationalError) as error:
            logger.warning(LogEvent("celery.publish_failed", requests=len(waiting), error=error))

    def backlogged(self) -> Backlog:
        """Return for which requests messages wait in a queue: for all while the broker is away."""
        own = {kind: self._queue(kind, route_for(self._routes, kind, "")) for kind in RequestKind}
        others = {
            (kind, product): self._queue(kind, route)
            for (kind, product), route in self._routes.items()
            if product
        }
        try:
            with app.connection_or_acquire() as connection:
                waiting = queue_lengths(connection, {*own.values(), *others.values()})
        except OperationalError as error:
            logger.warning(LogEvent("celery.broker_unreachable", error=error))
            return Backlog(kinds=list(RequestKind))
        return Backlog(
            kinds=[kind for kind, queue in own.items() if waiting[queue]],
            products={name: waiting[queue] > 0 for name, queue in others.items()},
        )

    def _routes_of(self, refs: Sequence[RequestKey]) -> list[Route]:
        """Return where each message goes; reads a product only for kinds that have routes."""
        kinds = {kind for kind, _ in self._routes}
        routed = [ref for ref in refs if ref.kind in kinds]
        if not routed or self._products is None:
            return [OWN_QUEUE] * len(refs)
        products = dict(zip(routed, self._products(routed), strict=True))
        return [route_for(self._routes, ref.kind, products.get(ref, "")) for ref in refs]

    def _queue(self, kind: RequestKind, route: Route) -> str:
        return at(route.queue or kind.value, self._account)


def _priority(route: Route) -> dict[str, int]:
    """Return the options that give a message its priority, on Redis only.

    RabbitMQ needs them when a queue is declared, and takes the higher number first.
    """
    on_redis = app.conf.broker_url.startswith(("redis", "sentinel"))
    return {"priority": route.priority} if route.priority and on_redis else {}


def _message(task: str, argument: str) -> Any:
    """Return the message for one request: Celery's protocol 2, without the fields at their default.

    It is half as large as the one of `apply_async`; Redis holds one for each request of a backlog.
    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    # The id in a change hint is the request's, where it has one: log lines are found by it.
    task_id = f"{argument.rpartition(':')[2]}.{secrets.token_hex(4)}"
    common = {"root_id": task_id, "retries": 0}
    arguments = f"('{argument}',)"
    return task_message(
        headers={
            "lang": "py",
            "task": task,
            "id": task_id,
            "argsrepr": arguments,
            "ignore_result": True,
            **common,
        },
        properties={"correlation_id": task_id},
        body=((argument,), {}, {}),
        sent_event={
            "uuid": task_id,
            "name": task,
            "args": arguments,
            "kwargs": "{}",
            **common,
        },
    )


def queue_lengths(connection: Any, names: Iterable[str] = ()) -> dict[str, int]:
    """Return how many messages wait in each of these queues; without names, in every queue."""
    names = list(names) or [queue.name for queue in app.conf.task_queues]

    def count(*, channel: Any) -> list[int]:
        return [_queue_length(channel, name) for name in names]

    counts, _ = connection.autoretry(count, max_retries=1, interval_start=0)()
    return dict(zip(names, counts, strict=True))


def _queue_length(channel: Any, name: str) -> int:
    """Count a queue's messages.

    An empty queue on Redis does not exist for kombu, and a queue on RabbitMQ does not exist before
    a worker has declared it. The question then closes the channel, and py-amqp opens it again.
    """
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except ChannelError:
        return 0
