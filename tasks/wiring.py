"""The engine of this process: the real ledger, client, publisher and automations."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from functools import lru_cache

from kombu.exceptions import (  # type: ignore[attr-defined]  # celery-types is older than kombu 5.7
    BatchPublishError,
    OperationalError,
)

from connect_worker.api import client_for
from connect_worker.engine.context import Engine
from connect_worker.engine.heart import Heart
from connect_worker.engine.turnstile import KnownPause, Turnstile
from connect_worker.ledger.redis import RedisLedger
from connect_worker.logger import LogEvent, logger
from connect_worker.processing.retry import RetryPolicy
from connect_worker.processing.states import Kind, Ref
from connect_worker.resources.loading import load_registry
from connect_worker.settings import Settings
from tasks.app import app
from tasks.queues import lengths

#: Commands in one pipeline to the broker; a message is one, the event about it another.
BATCH = 500


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings.from_env()


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return the engine; made by the worker's main process, inherited by its children.

    The parts are fork-safe: the Redis pool, the HTTP sessions and the heartbeat thread notice a
    fork.

    Raises:
        SettingsError: The account's URL or key is missing or malformed.
        RegistrationError: The automations can't be loaded.
    """
    chosen = settings()
    config = chosen.config()
    ledger, pause = RedisLedger.from_url(chosen.redis_url, account=chosen.account), KnownPause()
    # Before the user's modules: one that calls Connect while it is imported has the same client.
    client = client_for(
        config,
        timeout_seconds=chosen.timeout_seconds,
        page_size=chosen.page_size,
        turnstile=Turnstile(ledger, pause, calls_per_second=chosen.max_calls_per_second),
    )
    registry = load_registry(chosen.processors, config)
    return Engine(
        ledger=ledger,
        connect=client,
        publisher=CeleryPublisher(),
        registry=registry,
        heart=Heart(ledger),
        account=chosen.account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        pause=pause,
        policy=RetryPolicy(
            max_attempts=chosen.max_attempts,
            base_seconds=chosen.retry_base_seconds,
            max_seconds=chosen.retry_max_seconds,
        ),
        lease_seconds=chosen.lease_seconds,
        skip_seconds=chosen.skip_seconds,
        keep_seconds=chosen.keep_days * 86_400,
        poll_seconds={Kind(kind): seconds for kind, seconds in chosen.poll_seconds.items()},
        products=tuple(dict.fromkeys([*config.products, *registry.products])),
    )


class CeleryPublisher:
    """Publishes wake-up calls: one task per request, on the queue of its kind."""

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
                    app.tasks[f"process.{ref.kind}"].apply_async(
                        (ref.id,),
                        queue=ref.kind.value,
                        task_id=f"{ref.id}.{secrets.token_hex(4)}",
                        producer=producer,
                        ignore_result=True,
                    )
        except (BatchPublishError, OperationalError) as error:
            logger.warning(LogEvent("messages lost", requests=len(waiting), error=error))

    def backlogged(self) -> list[Kind]:
        """Return the kinds whose queues hold messages."""
        with app.connection_or_acquire() as connection:
            waiting = lengths(connection)
        return [kind for kind in Kind if waiting[kind.value]]
