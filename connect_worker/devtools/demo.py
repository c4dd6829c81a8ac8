"""``connect-worker demo``: run the whole stack, show its progress, judge it, and clean up."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console

from connect_worker.devtools.dashboard import Dashboard, Screen, Throughput
from connect_worker.devtools.embedded_redis import find_server, is_free
from connect_worker.devtools.processes import (
    Child,
    Interrupted,
    ProcessError,
    Processes,
    StopSignals,
)
from connect_worker.devtools.stack import (
    PROCESSORS,
    SandboxAddress,
    SandboxOptions,
    Stack,
    uncovered_kinds,
    worker_environment,
)
from connect_worker.devtools.verdict import (
    DemoEnd,
    DemoProgress,
    DemoResult,
    DemoStop,
    Verdict,
    conclude,
    judge,
    still_open,
)
from connect_worker.domain.states import RequestKind, State
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.redis import RedisLedger
from connect_worker.operations.status import count_by_kind
from connect_worker.settings.model import Settings

REFRESH_SECONDS = 0.25
#: How many readings in a row must find nothing left to do before the demo ends.
IDLE_READINGS = 2
#: For an answer of the sandbox.
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user chooses; port 0 takes a free one."""

    sandbox: SandboxOptions = field(default_factory=SandboxOptions)
    workers: int = 1
    concurrency: int = 2
    flower_port: int = 0
    redis_port: int = 0
    #: Modules or `.py` paths; the project's examples when empty.
    processors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The addresses of the demo's servers."""

    sandbox: SandboxAddress
    redis_url: str
    flower_url: str


def run(
    options: DemoOptions,
    *,
    timeout_seconds: float | None,
    log_dir: Path | None,
    console: Console,
    find_redis: Callable[[], Path] = find_server,
) -> int:
    """Run the demo and return its exit status.

    Args:
        options: What to run.
        timeout_seconds: None runs until a signal arrives. Otherwise the demo ends when every
            request is decided, or after this time.
        log_dir: Where the logs are kept. When None, they are in a temporary folder, which is kept
            only if the demo fails.
        console: Where to show the progress.
        find_redis: Returns the program of the Redis server.

    Raises:
        ClickException: A process did not start, or ended unexpectedly.
    """
    _require_free_ports(options)
    with _directory(log_dir) as directory:
        end = _run(options, directory, console, timeout_seconds, find_redis)
        status = conclude(end, directory=directory, console=console)
        keeps_logs = isinstance(end, DemoResult) and status != 0
        if log_dir is None and not keeps_logs:
            shutil.rmtree(directory, ignore_errors=True)
    return status


def _run(
    options: DemoOptions,
    directory: Path,
    console: Console,
    timeout_seconds: float | None,
    find_redis: Callable[[], Path],
) -> DemoEnd:
    with (
        StopSignals() as signals,
        Screen(console, is_transient=timeout_seconds is not None) as screen,
        Processes(directory, in_hurry=lambda: signals.count > 1, wait=signals.wait) as processes,
    ):
        screen.say("Starting Redis, the sandbox, Flower, the workers and beat …")
        end: DemoEnd
        try:
            stack = _start(options, processes, find_redis)
            end = _watch(stack, screen, processes, signals, timeout_seconds)
        except Interrupted:
            end = DemoStop(signals.first, is_early=timeout_seconds is not None)
        except ProcessError as error:
            raise click.ClickException(str(error)) from error
        screen.say_stopping()
    return end


def _start(
    options: DemoOptions, processes: Processes, find_redis: Callable[[], Path]
) -> RunningStack:
    program = find_redis()
    # The user's modules are in the working directory.
    stack = Stack(processes, *([Path.cwd()] if options.processors else []))
    redis_url = stack.start_redis(program, port=options.redis_port)
    sandbox = stack.start_sandbox(
        replace(options.sandbox, without=uncovered_kinds(options.processors))
    )
    environment = worker_environment(
        stack.environment,
        redis_url=redis_url,
        sandbox=sandbox,
        processors=options.processors or PROCESSORS,
    )
    for number in range(1, options.workers + 1):
        stack.start_worker(environment, number=number, concurrency=options.concurrency)
    # Flower shows only the jobs of which it receives events. So beat, which schedules the polls,
    # starts after Flower answers.
    flower_url = stack.start_flower(environment, port=options.flower_port)
    stack.start_beat(environment)
    return RunningStack(sandbox, redis_url, flower_url)


def _watch(
    stack: RunningStack,
    screen: Screen,
    processes: Processes,
    signals: StopSignals,
    timeout_seconds: float | None,
) -> DemoResult:
    """Show the progress until every request is decided; without a timeout, until a signal."""
    reader = ProgressReader(stack)
    throughput = Throughput()
    idle_readings = 0
    while True:
        ended = tuple(worker.name for worker in _require_a_worker(processes))
        if (progress := reader.progress()) is not None:
            idle_readings = idle_readings + 1 if progress.is_idle else 0
            throughput.record(
                completed=progress.total[State.COMPLETED], active=progress.total.active
            )
            addresses = {
                "Flower": stack.flower_url,
                "Sandbox": f"{stack.sandbox.url}/sandbox/report",
                "Logs": str(processes.directory),
            }
            screen.show(Dashboard(progress, throughput, addresses, ended))
        if timeout_seconds is not None:
            is_late = throughput.elapsed_seconds > timeout_seconds
            if is_late or idle_readings >= IDLE_READINGS:
                limit = timeout_seconds if is_late else None
                worked_seconds, per_second = throughput.worked_seconds, throughput.per_second
                return DemoResult(reader.verdict(), worked_seconds, per_second, limit)
        signals.wait(REFRESH_SECONDS)


def _require_a_worker(processes: Processes) -> list[Child]:
    """Return the workers that ended, as long as one is left.

    Raises:
        ProcessError: The last worker ended, or another process.
    """
    ended = processes.require_running(may_end="worker")
    if ended and len(ended) == sum(child.role == "worker" for child in processes.children):
        raise ended[0].end_error()
    return ended


class ProgressReader:
    """Reads the progress of a running demo from the ledger and the sandbox; changes nothing."""

    def __init__(self, stack: RunningStack) -> None:
        account = Settings(api_url=stack.sandbox.api_url, api_key=stack.sandbox.api_key).account
        self._ledger = RedisLedger.from_url(stack.redis_url, account=account)
        self._address = f"{stack.sandbox.url}/sandbox/report"
        self._session = requests.Session()
        # A proxy of the environment can't reach this machine's servers.
        self._session.trust_env = False

    def progress(self) -> DemoProgress | None:
        """Return the progress; None when the ledger or the sandbox does not answer now."""
        try:
            rows = count_by_kind(self._ledger)
            summary = self._get({"summary": "1"})
        except (LedgerUnavailable, requests.RequestException):
            return None
        open_requests = {RequestKind(kind): count for kind, count in still_open(summary).items()}
        # A listing stays listed after its usage is reported: only the ledger knows the number.
        listings = summary["totals"][RequestKind.USAGE]["count"]
        open_requests[RequestKind.USAGE] = max(0, listings - rows[RequestKind.USAGE].ended)
        return DemoProgress(rows, open_requests)

    def verdict(self) -> Verdict:
        """Return what the sandbox reports about each request.

        Raises:
            ClickException: The sandbox or the ledger does not answer.
        """
        try:
            return judge(self._get({}), parked=self._parked())
        except (LedgerUnavailable, requests.RequestException) as error:
            raise click.ClickException(
                f"The report of what happened can't be read: {error}"
            ) from error

    def _parked(self) -> dict[str, str]:
        return {
            ref.id: record.error
            for kind in RequestKind
            for ref in self._ledger.parked(kind)
            if (record := self._ledger.get_record(ref)) is not None
        }

    def _get(self, parameters: dict[str, str]) -> Any:
        answer = self._session.get(self._address, params=parameters, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()


def _require_free_ports(options: DemoOptions) -> None:
    """Refuse a port that the user named and another program uses.

    Raises:
        ClickException: Names the port and the option.
    """
    ports = {
        "--flower-port": options.flower_port,
        "--redis-port": options.redis_port,
        "--sandbox-port": options.sandbox.port,
    }
    for option, port in ports.items():
        if port and not is_free(port):
            raise click.ClickException(
                f"Another program uses port {port}. Choose another {option}, or leave the option "
                "out to get a free port."
            )


@contextmanager
def _directory(log_dir: Path | None) -> Iterator[Path]:
    """Yield the folder for the logs; a temporary folder that stays empty is removed."""
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        yield log_dir.resolve()
        return
    directory = Path(tempfile.mkdtemp(prefix="connect-worker-demo-"))
    try:
        yield directory
    finally:
        if directory.exists() and not any(directory.iterdir()):
            directory.rmdir()
