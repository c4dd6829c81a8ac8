"""What a worker does when Celery sends a signal: format its log, check its start, show it is alive.

Answers gaps of Celery 5.6:

- A worker starts with a Redis that evicts keys, with settings that contradict each other, and with
  modules that can't be imported: `check_worker`; tests/acceptance/test_worker_start.py.
- Its log has several formats, and may show secrets: `format_log`;
  tests/unit/observability/test_logging.py.
- Its banner, what it says at a stop, and the death of a process of its pool are no lines of the
  log: `start_log`, `prepare_worker`, `say_in_json`; tests/acceptance/security/test_log_streams.py.
- Workers on machines of one name have one name: `prepare_worker`;
  tests/acceptance/test_worker_start.py.
- A processor that holds the GIL keeps its process from renewing its lease: `back_up_leases`;
  tests/faults/test_long_jobs.py.
- Anyone who can write to the broker may stop all workers: `refuse_commands`;
  tests/acceptance/security/test_remote_control.py.
- A probe needs `celery inspect ping`, which starts a Python and writes to the broker each time.
  `touch_heartbeat_file` costs nothing: tests/acceptance/test_probes.py.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
from celery import _original_os_write  # type: ignore[attr-defined]  # celery-types lacks it
from celery.apps import worker as celery_worker
from celery.concurrency import get_implementation
from celery.concurrency.prefork import TaskPool
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    celeryd_init,
    heartbeat_sent,
    import_modules,
    worker_init,
    worker_ready,
)
from celery.utils.log import get_multiprocessing_logger
from celery.utils.nodenames import nodename, nodesplit
from celery.worker.control import Panel
from click.core import ParameterSource
from kombu.transport.redis import Channel

from connect_worker.exceptions import LedgerUnavailable, Message
from connect_worker.ledger.checks import Finding, check_broker, check_deployment, check_redis
from connect_worker.ledger.redis import OPERATOR_SECONDS, connect
from connect_worker.logger import LogEvent, log_context, logger
from connect_worker.observability.logging import (
    JsonFormatter,
    log_to_standard_error,
    prepare_handler,
    prints_to_log,
)
from connect_worker.observability.output import (
    EXIT_CONFIGURATION,
    refuse_start,
    report_crashes,
)
from connect_worker.settings.accounts import account_at, require_distinct
from tasks.app import app
from tasks.celery_support.bootstrap import (
    account_names,
    bind_account,
    runtime,
    settings,
    warn_of_typos,
)
from tasks.celery_support.remote_control import check_broker_deployment, identity
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


@import_modules.connect
def start_log(**_: Any) -> None:
    """Give a worker and beat their log before Celery does, and mask what ends any command."""
    report_crashes()
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name in ("worker", "beat"):
        log_to_standard_error(settings().log_format)


@celeryd_init.connect
def prepare_worker(instance: Any, **_: Any) -> None:
    """Give a worker a name of its own, unless it was given one; and a log without a banner."""
    context = click.get_current_context(silent=True)
    if context and context.get_parameter_source("hostname") is ParameterSource.DEFAULT:
        instance.hostname = unique_name(instance.hostname)
    if prints_to_log():
        instance.quiet = True
        vars(celery_worker)["safe_say"] = say_in_json


def unique_name(name: str) -> str:
    """Return a worker's name that no other one has, on a machine of the same name either.

    Examples:
        >>> unique_name("celery@shop")  # doctest: +SKIP
        'celery-3f9a1c27@shop'
    """
    word, host = nodesplit(name)
    return nodename(f"{word}-{secrets.token_hex(4)}", host)


def say_in_json(message: str, stream: Any) -> None:
    """Write what Celery says in a signal handler, as a line of the log.

    It passes by all buffers: the signal may have interrupted their use.
    """
    record = logging.makeLogRecord(
        {"name": celery_worker.__name__, "levelname": "INFO", "msg": message}
    )
    line = f"{JsonFormatter(stream).format(record)}\n".encode()
    _original_os_write(stream.fileno(), line)


@after_setup_logger.connect
@after_setup_task_logger.connect
def format_log(logger: logging.Logger, **_: Any) -> None:
    """Write one line an event, with the context of its job and without secrets."""
    for handler in logger.handlers:
        handler.addFilter(TaskContextFilter())
        prepare_handler(handler, settings().log_format)


@after_setup_logger.connect
def format_pool_log(**_: Any) -> None:
    """Write the lines of the prefork pool, such as the death of a process, in the same way."""
    if pool_logger := get_multiprocessing_logger():
        for handler in pool_logger.handlers:
            prepare_handler(handler, settings().log_format)


#: kombu's default: after this time Redis delivers a message again that no worker has acknowledged.
VISIBILITY_SECONDS = Channel.visibility_timeout


@worker_init.connect
def check_worker(sender: Any = None, **_: Any) -> None:
    """Refuse to start, in one sentence, with settings or processors that can't work."""
    warn_of_typos()
    if settings().heartbeat_file and getattr(sender, "options", {}).get("without_heartbeat"):
        refuse_start(
            "with --without-heartbeat no worker would touch "
            "CONNECT_HEARTBEAT_FILE, and probes would end it: remove one of the two"
        )
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
    try:
        problem = check_ledger_redis()
    except LedgerUnavailable as error:
        # The check is made when the worker connects: `WorkerConsumer.connect`.
        logger.warning(LogEvent("worker.redis_unreachable", error=error))
    else:
        _refuse_finding(problem)
    _check_broker()


def _refuse_finding(problem: Finding | None, where: str = "") -> None:
    if problem:
        # Except for another deployment, a restart helps when the server has been changed.
        status = EXIT_CONFIGURATION if problem.level == "foreign" else 1
        refuse_start(f"{where}{problem.message}", status=status)


@worker_init.connect
def back_up_leases(sender: Any, **_: Any) -> None:
    """Renew from the main process the leases of a pool's processes that can't do it themselves.

    Comes after `check_worker`, which makes the runtimes; the pool's processes inherit them.
    """
    if get_implementation(sender.pool_cls) is TaskPool:
        for account in served_accounts():
            runtime(account).leases.start_backup()


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


#: What this process has warned of: the checks are made again at each connection.
_warned: set[str] = set()


def check_ledger_redis() -> Finding | None:
    """Return why the ledger's Redis must not be used, and the remedy; None when it may be.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    with connect(settings().redis_url, timeout_seconds=OPERATOR_SECONDS, retries=0) as client:
        findings = check_redis(client)
        if not any(finding.level == "refuse" for finding in findings):
            findings += check_deployment(client, identity())
    return _first_refusal(findings)


def check_queues(connection: Any) -> Finding | None:
    """Return why the broker's queues must not be used; None when they may be.

    Raises:
        LedgerUnavailable: The broker's Redis can't be reached.
    """
    return _first_refusal(check_broker_deployment(connection))


def _first_refusal(findings: Iterable[Finding]) -> Finding | None:
    """Return what forbids a start, and warn of the rest once."""
    refusals = []
    for finding in findings:
        if finding.level != "warn":
            refusals.append(finding)
        elif finding.message not in _warned:
            _warned.add(finding.message)
            logger.warning(finding.message)
    return next(iter(refusals), None)


def _check_broker() -> None:
    with app.connection_for_read() as connection:
        if settings().has_own_broker:
            _check_own_broker(connection)
        if connection.transport.driver_type != "redis":
            return
        options = connection.transport_options or {}
        visible_after = options.get("visibility_timeout", VISIBILITY_SECONDS)
        for account in served_accounts():
            lease_seconds = settings(account).lease_seconds
            if warning := check_lease(lease_seconds, visible_after=float(visible_after)):
                logger.warning(warning)


def _check_own_broker(connection: Any) -> None:
    """Check a broker that is not the ledger's Redis, as far as it answers now."""
    try:
        if connection.transport.driver_type == "redis":
            # Through kombu, because its URL may name Sentinels.
            problem = _first_refusal(check_broker(connection.channel().client))
            _refuse_finding(problem, "the broker: ")
        _refuse_finding(check_queues(connection), "the broker: ")
    except (LedgerUnavailable, *connection.connection_errors, *connection.channel_errors) as error:
        # `WorkerConsumer.connect` checks the queues when the worker connects.
        logger.warning(LogEvent("worker.broker_unreachable", error=error))


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
    `WorkerConsumer` touches the file too while it waits for a server that answers and refuses.
    """
    if name := settings().heartbeat_file:
        try:
            Path(name).touch()
        except OSError as error:
            logger.warning(LogEvent("worker.liveness_failed", file=name, error=error))
