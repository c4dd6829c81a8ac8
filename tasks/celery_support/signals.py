"""What a worker does when Celery sends a signal: format its log, check its start, show it is alive.

Answers gaps of Celery 5.6:

- A worker starts with a Redis that evicts keys, with settings that contradict each other, and with
  modules that can't be imported: `check_worker`; tests/acceptance/test_worker_start.py.
- Its log has several formats, and may show secrets: `format_log`;
  tests/unit/observability/test_logging.py.
- Anyone who can write to the broker may stop all workers: `refuse_commands`;
  tests/acceptance/security/test_remote_control.py.
- A probe needs `celery inspect ping`, which starts a Python and writes to the broker each time.
  `touch_heartbeat_file` costs nothing: tests/acceptance/test_probes.py.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    celeryd_init,
    heartbeat_sent,
    import_modules,
    worker_init,
    worker_ready,
)
from celery.worker.control import Panel
from kombu.transport.redis import Channel

from connect_worker.exceptions import LedgerUnavailable, Message
from connect_worker.ledger.checks import check_broker, check_redis
from connect_worker.ledger.redis import connect
from connect_worker.logger import LogEvent, log_context, logger
from connect_worker.observability.logging import prepare_handler
from connect_worker.observability.output import refuse_start, report_crashes
from connect_worker.settings.accounts import account_at, require_distinct
from tasks.app import app
from tasks.celery_support.bootstrap import (
    account_names,
    bind_account,
    runtime,
    settings,
    warn_of_typos,
)
from tasks.celery_support.transport import log_throttled


class TaskContextFilter(logging.Filter):
    """Adds the request and the task to Celery's lines about a task (received, succeeded, …)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them, and let the record pass."""
        data = getattr(record, "data", None)
        if isinstance(data, dict) and "id" in data and "name" in data:
            # The id of a job is the request's id and a random part; the id of a poll is random.
            request = str(data["id"]).rpartition(".")[0]
            context = {"request": request} if request else {}
            record.facts = {**log_context(), **context, "task": data["name"]}
        return True


@celeryd_init.connect
def format_first_lines(**_: Any) -> None:
    """Format the lines of a worker's checks, which come before Celery sets up its log."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    prepare_handler(handler, settings().log_format)
    logging.lastResort = handler


@import_modules.connect
def mask_crashes(**_: Any) -> None:
    """Show no secret of an error that ends a thread or the process of any of Celery's commands."""
    report_crashes()


@after_setup_logger.connect
@after_setup_task_logger.connect
def format_log(logger: logging.Logger, **_: Any) -> None:
    """Write one line an event, with the context of its job and without secrets."""
    for handler in logger.handlers:
        handler.addFilter(TaskContextFilter())
        prepare_handler(handler, settings().log_format)


#: kombu's default: after this time Redis delivers a message again that no worker has acknowledged.
VISIBILITY_SECONDS = Channel.visibility_timeout


@worker_init.connect
def check_worker(**_: Any) -> None:
    """Refuse to start, in one sentence, with settings or processors that can't work."""
    warn_of_typos()
    for account in served_accounts():
        try:
            runtime(account)
        except Message as error:
            prefix = f"account {account}: " if account else ""
            refuse_start(f"{prefix}{error}")
    try:
        require_distinct(settings(account) for account in served_accounts())
    except Message as error:
        refuse_start(error)
    _check_redis()
    _check_broker()


#: Commands that change nothing, of `celery inspect` and of Flower. Names that a later Celery adds
#: are refused, like those that write files or take long (`objgraph`, `memdump`, `memsample`).
QUESTIONS = frozenset(
    {
        *("active", "active_queues", "clock", "conf", "ping", "query_task", "registered", "report"),
        *("reserved", "revoked", "scheduled", "stats"),
        # The names of before Celery 3.
        *("dump_active", "dump_conf", "dump_reserved", "dump_revoked", "dump_schedule"),
        "dump_tasks",
        # Flower asks for events, which workers send anyway.
        *("enable_events", "heartbeat"),
    }
)


@worker_init.connect
def refuse_commands(**_: Any) -> None:
    """Answer commands that change a worker with a refusal, unless they are switched on.

    Comes after `check_worker`, which loads the processors: their modules may add commands.
    """
    if settings().remote_control:
        return
    for name in Panel.data.keys() - QUESTIONS:
        Panel.data[name] = partial(_refuse, name)


def _refuse(command: str, _: Any, **__: object) -> dict[str, str]:
    """Take the place of a command in Celery's table."""
    why = "CONNECT_REMOTE_CONTROL=true of the workers would allow it"
    log_throttled("celery.command_rejected", command=command, why=why)
    return {"error": f"{command} is refused: {why}"}


def served_accounts() -> tuple[str, ...]:
    """Return the accounts of the queues that this worker takes; the others may be broken."""
    served = {account_at(queue) for queue in app.amqp.queues.consume_from}
    return tuple(account for account in account_names() if account in served)


@worker_ready.connect
def log_processors(**_: Any) -> None:
    """Log what this worker processes."""
    for account in served_accounts():
        with bind_account(account):
            for kind, names in runtime(account).registry.coverage.items():
                for name in names:
                    logger.info(LogEvent("worker.processor_loaded", kind=kind, automation=name))


def _check_redis() -> None:
    try:
        findings = check_redis(connect(settings().redis_url))
    except LedgerUnavailable as error:
        logger.warning(LogEvent("worker.redis_unreachable", error=error))
        return
    for finding in findings:
        if finding.level == "refuse":
            # A restart helps when Redis has been changed.
            refuse_start(finding.message, status=1)
        logger.warning(finding.message)


def _check_broker() -> None:
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return
        options = connection.transport_options or {}
        visible_after = options.get("visibility_timeout", VISIBILITY_SECONDS)
        for account in served_accounts():
            lease_seconds = settings(account).lease_seconds
            if warning := check_lease(lease_seconds, visible_after=float(visible_after)):
                logger.warning(warning)
        if settings().has_own_broker:
            _check_broker_redis(connection)


def _check_broker_redis(connection: Any) -> None:
    """Check the Redis of the broker, through kombu, because its URL may name Sentinels."""
    try:
        findings = check_broker(connection.channel().client)
    except (LedgerUnavailable, *connection.connection_errors) as error:
        logger.warning(LogEvent("worker.broker_unreachable", error=error))
        return
    for finding in findings:
        logger.warning(finding.message)


def check_lease(lease_seconds: float, *, visible_after: float) -> str:
    """Return what is wrong with a lease, given the broker's visibility timeout; "" for nothing.

    The claim rejects a message that comes back while the lease of its request holds. That does no
    harm, but each such message costs a claim, and the sweep rescues requests of dead workers
    anyway.
    """
    if lease_seconds <= visible_after:
        return ""
    return (
        f"CONNECT_LEASE_SECONDS ({lease_seconds:g}) is longer than the broker's visibility timeout "
        f"({visible_after:g} s): make the lease shorter, it is renewed while a job runs"
    )


@heartbeat_sent.connect
def touch_heartbeat_file(**_: Any) -> None:
    """Touch `CONNECT_HEARTBEAT_FILE`, where it is set. A probe looks at its age.

    Celery's heartbeat comes every two seconds, from the loop that takes messages.
    """
    if name := settings().heartbeat_file:
        try:
            Path(name).touch()
        except OSError as error:
            logger.warning(LogEvent("worker.liveness_failed", file=name, error=error))
