"""Wake-up calls: a small message per request, many of them in one trip to the broker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celery.app.amqp import task_message
from kombu.exceptions import (  # type: ignore[attr-defined]  # celery-types is older than kombu 5.7
    BatchPublishError,
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
from tasks.queues import lengths

#: Commands in one pipeline to the broker; a message is one, the event about it another.
BATCH = 500


class CeleryPublisher:
    """Publishes wake-up calls: one task per request, on the queue of its automation.

    Args:
        account: As `CONNECT_ACCOUNTS` has it; "" for the only one.
        routes: Of the automations that have a queue or a priority of their own.
        products: Tells the product of each request; asked only where there are such automations.
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
        """Send the messages; when the broker is away they are lost, and the sweep sends others."""
        waiting = list(refs)
        routed = list(zip(waiting, self._routes_of(waiting), strict=True))
        # A poll's thousands of messages go a few ways.
        ways = {
            (kind, route): (self._queue(kind, route), _priority(route))
            for kind, route in {(ref.kind, route) for ref, route in routed}
        }
        self._send(
            [(self._tasks[ref.kind], ref.id, *ways[ref.kind, route]) for ref, route in routed]
        )

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        """Send the messages; a lost one, too, the sweep replaces."""
        self._send([(self._refresh, str(notice), self._control, {}) for notice in notices])

    def _send(self, waiting: Sequence[tuple[str, str, str, dict[str, int]]]) -> None:
        """Send messages: of each the task, its argument, the queue and options."""
        if not waiting:
            return
        try:
            # In one pipeline: a round trip for each would take the larger part of a poll's time.
            with (
                app.producer_pool.acquire(block=True) as producer,
                producer.batch(BATCH),  # type: ignore[attr-defined]  # likewise
            ):
                for task, argument, queue, options in waiting:
                    message = _message(task, argument)
                    app.amqp.send_task_message(producer, task, message, queue=queue, **options)
        except (BatchPublishError, OperationalError) as error:
            logger.warning(LogEvent("celery.publish_failed", requests=len(waiting), error=error))

    def backlogged(self) -> Backlog:
        """Tell of whose requests messages wait; of all while the broker is away."""
        own = {kind: self._queue(kind, route_for(self._routes, kind, "")) for kind in RequestKind}
        others = {
            (kind, product): self._queue(kind, route)
            for (kind, product), route in self._routes.items()
            if product
        }
        try:
            with app.connection_or_acquire() as connection:
                waiting = lengths(connection, {*own.values(), *others.values()})
        except OperationalError as error:
            logger.warning(LogEvent("celery.broker_unreachable", error=error))
            return Backlog(kinds=list(RequestKind))
        return Backlog(
            kinds=[kind for kind, queue in own.items() if waiting[queue]],
            products={name: waiting[queue] > 0 for name, queue in others.items()},
        )

    def _routes_of(self, refs: Sequence[RequestKey]) -> list[Route]:
        """Return where each message goes: a product is read only of kinds that have routes."""
        kinds = {kind for kind, _ in self._routes}
        routed = [ref for ref in refs if ref.kind in kinds]
        if not routed or self._products is None:
            return [OWN_QUEUE] * len(refs)
        products = dict(zip(routed, self._products(routed), strict=True))
        return [route_for(self._routes, ref.kind, products.get(ref, "")) for ref in refs]

    def _queue(self, kind: RequestKind, route: Route) -> str:
        return at(route.queue or kind.value, self._account)


def _priority(route: Route) -> dict[str, int]:
    """Return what tells the broker of a priority: Redis only.

    RabbitMQ has to be told when a queue is declared, and takes the higher number first.
    """
    on_redis = app.conf.broker_url.startswith(("redis", "sentinel"))
    return {"priority": route.priority} if route.priority and on_redis else {}


def _message(task: str, argument: str) -> Any:
    """Return the message for one request: Celery's protocol 2, without what is at its default.

    Half as large as what `apply_async` sends: of a backlog Redis holds one for each request.
    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    # Of a notice the request's id, if it has one: lines of the log are found by it.
    task_id = f"{argument.rpartition(':')[2]}.{secrets.token_hex(4)}"
    shown = {"root_id": task_id, "retries": 0}
    arguments = f"('{argument}',)"
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
        body=((argument,), {}, {}),
        sent_event={
            "uuid": task_id,
            "name": task,
            "args": arguments,
            "kwargs": "{}",
            **shown,
        },
    )
