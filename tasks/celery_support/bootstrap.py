"""The engines of this process, one an account: the real ledger, client, publisher, automations.

`account` is a name of `CONNECT_ACCOUNTS`, or "" where there is none.
"""

from __future__ import annotations

import os
import socket
from functools import cache

from connect_worker.api import client_for
from connect_worker.domain.retry import RetryPolicy
from connect_worker.domain.states import RequestKind
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.metrics import CallMetrics
from connect_worker.engine.rate_limiter import BreakerCache, RateLimiter
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import SettingsError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.resources.discovery import load_registry
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings
from tasks.celery_support.process_killer import PoolProcessKiller
from tasks.celery_support.publisher import CeleryPublisher


def settings(account: str = "") -> Settings:
    """Return an account's settings; without a name those of the whole deployment.

    Raises:
        SettingsError: They are malformed, or there is no such account.
    """
    return _settings(account)


def accounts() -> tuple[str, ...]:
    """Return the names of the deployment's accounts; ("",) for one without a name.

    Raises:
        SystemExit: The settings are malformed. This is asked while tasks are defined.
    """
    try:
        return accounts_of(settings())
    except SettingsError as error:
        raise SystemExit(f"connect-worker: {error}") from None


def engine(account: str = "") -> Runtime:
    """Return an account's engine; made by the worker's main process, inherited by its children.

    The parts are fork-safe: the Redis pool, the HTTP sessions and the heartbeat thread notice a
    fork.

    Raises:
        SettingsError: The account's URL or key is missing or malformed.
        RegistrationError: The automations can't be loaded.
    """
    return _engine(account)


@cache
def _settings(account: str) -> Settings:
    return settings_of(account)


@cache
def _engine(account: str) -> Runtime:
    chosen = settings(account)
    config = chosen.config()
    meter = CallMetrics()
    ledger = RedisLedger.from_url(
        chosen.redis_url, account=chosen.account, keys=chosen.encryption_key, tally=meter
    )
    pause = BreakerCache()
    # Before the user's modules: one that calls Connect while it is imported has the same client.
    client = client_for(
        config,
        timeout_seconds=chosen.timeout_seconds,
        page_size=chosen.page_size,
        before_call=RateLimiter(ledger, pause, calls_per_second=chosen.max_calls_per_second),
        observe=meter,
    )
    registry = load_registry(chosen.processors, config)
    registry.require_queues(chosen.queues)
    return Runtime(
        ledger=ledger,
        connect=client,
        publisher=CeleryPublisher(account, routes=registry.routes, products=ledger.products),
        registry=registry,
        leases=LeaseKeeper(ledger),
        account=chosen.account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        breaker_cache=pause,
        policy=RetryPolicy(
            max_attempts=chosen.max_attempts,
            base_seconds=chosen.retry_base_seconds,
            max_seconds=chosen.retry_max_seconds,
        ),
        lease_seconds=chosen.lease_seconds,
        skip_seconds=chosen.skip_seconds,
        post_activation_message=chosen.say_activated,
        retention_seconds=chosen.keep_days * 86_400,
        poll_seconds={RequestKind(kind): seconds for kind, seconds in chosen.poll_seconds.items()},
        process_killer=PoolProcessKiller(),
        products=tuple(dict.fromkeys([*config.products, *registry.products])),
    )
