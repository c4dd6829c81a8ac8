"""What happens when a process starts: the worker's checks, beat's first polls."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    beat_init,
    celeryd_init,
    worker_init,
    worker_ready,
)
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel

from connect_worker.exceptions import LedgerUnavailable, Message, SettingsError
from connect_worker.ledger.checks import inspect, inspect_broker
from connect_worker.ledger.redis import connect
from connect_worker.logger import LogEvent, bind_log, log_context, logger
from connect_worker.observability.logging import prepare_handler
from connect_worker.settings.accounts import account_at, require_distinct
from connect_worker.settings.typos import find_typos
from tasks.app import app
from tasks.celery_support.bootstrap import accounts, engine, settings

# What each line of a task's log says of its account.


def of_account(account: str) -> AbstractContextManager[None]:
    """Bind the account's name to all lines of a block, where it has one."""
    return bind_log(account=account) if account else nullcontext()


# The log of workers and of beat: this project's lines, Celery's own ones included.


class TaskFacts(logging.Filter):
    """Gives Celery's lines about a task (received, succeeded, …) its request and name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts and let the record pass."""
        told = getattr(record, "data", None)
        if isinstance(told, dict) and "id" in told and "name" in told:
            # A job's id is its request's and a random part; a poll's is random.
            request = str(told["id"]).rpartition(".")[0]
            about = (
                {"request": request, "task": told["name"]} if request else {"task": told["name"]}
            )
            record.facts = {**log_context(), **about}
        return True


@celeryd_init.connect
def format_first_lines(**_: Any) -> None:
    """Write what a worker's checks say before Celery has set its log up like all the rest."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    prepare_handler(handler, settings().log_format)
    logging.lastResort = handler


@after_setup_logger.connect
@after_setup_task_logger.connect
def format_log(logger: logging.Logger, **_: Any) -> None:
    """Write one line an event, with the facts of its job and without secrets."""
    for handler in logger.handlers:
        handler.addFilter(TaskFacts())
        prepare_handler(handler, settings().log_format)


#: kombu's default: after so long Redis hands out a message again that nobody has acknowledged.
VISIBILITY_SECONDS = Channel.visibility_timeout


@worker_init.connect
def check_worker(**_: Any) -> None:
    """Refuse to start, in one sentence, with settings or processors that can't work."""
    _tell_misspelt()
    for account in accounts_served():
        try:
            engine(account)
        except Message as error:
            whose = f"account {account}: " if account else ""
            raise SystemExit(f"connect-worker: {whose}{error}") from None
    try:
        require_distinct(settings(account) for account in accounts_served())
    except Message as error:
        raise SystemExit(f"connect-worker: {error}") from None
    _check_redis()
    _check_broker()


def accounts_served() -> tuple[str, ...]:
    """Return the accounts of whose queues this worker takes one: the others may be broken."""
    taken = {account_at(queue) for queue in app.amqp.queues.consume_from}
    return tuple(account for account in accounts() if account in taken)


@worker_ready.connect
def tell_processors(**_: Any) -> None:
    """Log what this worker processes."""
    for account in accounts_served():
        with of_account(account):
            for kind, names in engine(account).registry.coverage.items():
                for name in names:
                    logger.info(LogEvent("worker.processor_loaded", kind=kind, automation=name))


def _check_redis() -> None:
    try:
        findings = inspect(connect(settings().redis_url))
    except LedgerUnavailable as error:
        logger.warning(LogEvent("worker.redis_unreachable", error=error))
        return
    for finding in findings:
        if finding.level == "refuse":
            raise SystemExit(f"connect-worker: {finding.message}")
        logger.warning(finding.message)


def _check_broker() -> None:
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return
        options = connection.transport_options or {}
        visible_after = options.get("visibility_timeout", VISIBILITY_SECONDS)
        for account in accounts_served():
            lease_seconds = settings(account).lease_seconds
            if warning := check_lease(lease_seconds, visible_after=float(visible_after)):
                logger.warning(warning)
        if settings().has_own_broker:
            _check_broker_redis(connection)


def _check_broker_redis(connection: Any) -> None:
    """Look at the broker's own Redis, as kombu finds it: its URL may name Sentinels."""
    try:
        findings = inspect_broker(connection.channel().client)
    except (LedgerUnavailable, *connection.connection_errors) as error:
        logger.warning(LogEvent("worker.broker_unreachable", error=error))
        return
    for finding in findings:
        logger.warning(finding.message)


def check_lease(lease_seconds: float, *, visible_after: float) -> str:
    """Return what is wrong with a lease beside the broker's visibility timeout; "" for nothing.

    A job whose message comes back while its lease holds is refused by the claim: no harm, but each
    such message costs a refused claim, and the sweep looks after the dead worker anyway.
    """
    if lease_seconds <= visible_after:
        return ""
    return (
        f"CONNECT_LEASE_SECONDS ({lease_seconds:g}) is longer than the broker's visibility timeout "
        f"({visible_after:g} s): make the lease shorter, it is renewed while a job runs"
    )


@beat_init.connect
def poll_now(**_: Any) -> None:
    """Send the first polls at once instead of after a first interval."""
    _tell_misspelt()
    for account in accounts():
        try:
            settings(account).config()
        except SettingsError as error:
            # Beat itself needs none of it, and need not know the key.
            logger.warning(LogEvent("beat.account_missing", error=error))
    for name, entry in app.conf.beat_schedule.items():
        queue = entry.get("options", {}).get("queue", app.conf.task_default_queue)
        try:
            app.send_task(entry["task"], entry.get("args", ()), queue=queue)
        except OperationalError as error:
            logger.error(LogEvent("beat.message_not_sent", entry=name, error=error))
            return


def _tell_misspelt() -> None:
    for item in find_typos(os.environ, accounts()):
        logger.warning(str(item))
