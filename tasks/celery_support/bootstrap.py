"""The parts of this process: for each account its settings and its runtime, made once.

`account` is a name of `CONNECT_ACCOUNTS`, or "" where there is none.
"""

from __future__ import annotations

import os
import socket
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from connect_worker.api.client import client_for
from connect_worker.domain.retry import RetryPolicy
from connect_worker.domain.states import RequestKind
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.metrics import CallMetrics
from connect_worker.engine.rate_limiter import BreakerCache, RateLimiter
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import SettingsError
from connect_worker.ledger.redis import RedisLedger
from connect_worker.logger import bind_log, logger
from connect_worker.observability.output import refuse_start
from connect_worker.resources.processor import load_registry
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.environment import find_typos
from connect_worker.settings.model import Settings
from tasks.celery_support.publisher import CeleryPublisher
from tasks.celery_support.time_limit import PoolProcessKiller


def settings(account: str = "") -> Settings:
    """Return an account's settings; without a name those of the whole deployment.

    Raises:
        SettingsError: They are malformed, or there is no such account.
    """
    return _settings(account)


def account_names() -> tuple[str, ...]:
    """Return the names of the deployment's accounts; ("",) for one account without a name.

    Raises:
        SystemExit: The settings are malformed. The tasks are defined by this when they are
            imported.
    """
    try:
        return accounts_of(settings())
    except SettingsError as error:
        refuse_start(error)


def warn_of_typos() -> None:
    """Log each variable that looks like a setting but is not one."""
    for item in find_typos(Settings, os.environ, account_names()):
        logger.warning(str(item))


def bind_account(account: str) -> AbstractContextManager[None]:
    """Add the account's name to all log lines of a block, where it has one."""
    return bind_log(account=account) if account else nullcontext()


def runtime(account: str = "") -> Runtime:
    """Return an account's runtime. The worker's main process makes it, its pool inherits it.

    The parts survive a fork: the Redis pool, the HTTP sessions and the thread that renews leases
    notice one.

    Raises:
        SettingsError: The account's URL or key is missing or malformed.
        RegistrationError: The automations can't be loaded.
    """
    return _runtime(account)


@cache
def _settings(account: str) -> Settings:
    return settings_of(account)


@cache
def _runtime(account: str) -> Runtime:
    account_settings = settings(account)
    config = account_settings.config()
    metrics = CallMetrics()
    ledger = RedisLedger.from_url(
        account_settings.redis_url,
        account=account_settings.account,
        prefix=account_settings.key_prefix,
        keys=account_settings.encryption_key,
        metric_buffer=metrics,
        is_checked=True,
    )
    breaker_cache = BreakerCache()
    # Before the user's modules: one that calls Connect while it is imported has the same client.
    client = client_for(
        config,
        account_settings,
        before_call=RateLimiter(
            ledger, breaker_cache, calls_per_second=account_settings.max_calls_per_second
        ),
        observe=metrics,
    )
    registry = load_registry(account_settings.processors, config)
    registry.require_queues(account_settings.queues)
    return Runtime(
        ledger=ledger,
        connect=client,
        publisher=CeleryPublisher(account, routes=registry.routes, products=ledger.products),
        registry=registry,
        leases=LeaseKeeper(ledger),
        account=account_settings.account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        breaker_cache=breaker_cache,
        policy=RetryPolicy(
            max_attempts=account_settings.max_attempts,
            base_seconds=account_settings.retry_base_seconds,
            max_seconds=account_settings.retry_max_seconds,
        ),
        lease_seconds=account_settings.lease_seconds,
        max_list_rows=account_settings.max_list_rows,
        skip_seconds=account_settings.skip_seconds,
        post_activation_message=account_settings.say_activated,
        retention_seconds=account_settings.keep_days * 86_400,
        poll_seconds={
            RequestKind(kind): seconds for kind, seconds in account_settings.poll_seconds.items()
        },
        metrics=metrics,
        process_killer=PoolProcessKiller(),
        products=tuple(dict.fromkeys([*config.products, *registry.products])),
    )
