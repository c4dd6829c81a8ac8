"""The processes of ``connect-worker dev``, and the loop that reads their logs and restarts."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from dotenv import dotenv_values
from rich.console import Console

from connect_worker.devtools import environment
from connect_worker.devtools.console_output import OneLog
from connect_worker.devtools.embedded_redis import (
    HOST,
    NoServer,
    answers_ping,
    find_server,
    free_port,
    server_command,
)
from connect_worker.devtools.processes import Child, Interrupted, Processes, StopSignals
from connect_worker.devtools.reload import Changes
from connect_worker.exceptions import SettingsError
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings

START_SECONDS = 30.0
#: A worker that is to be replaced finishes its jobs first.
GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
#: Variables that would lead the processes away from the embedded Redis.
_OTHER_REDIS = ("CONNECT_REDIS_URL", "CONNECT_BROKER_URL")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the user chooses."""

    processors: Sequence[str]
    is_account: bool = False
    requests: int = 20
    concurrency: int = 2
    #: Whether the log has the worker's routine, too.
    is_verbose: bool = False


def work(plan: Plan, *, watched: Sequence[Path], console: Console) -> None:
    """Run everything until a signal comes.

    Args:
        plan: What is run.
        watched: Where Python files are looked after.
        console: Where the log is shown.

    Raises:
        ClickException: Something can't start, or ended by itself; a worker may.
    """
    log = OneLog(console, is_whole=plan.is_verbose)
    with (
        tempfile.TemporaryDirectory(prefix="connect-worker-dev-") as directory,
        StopSignals() as signals,
        Processes(Path(directory), in_hurry=lambda: signals.count > 1) as processes,
    ):
        shop = _Workshop(plan, processes, signals, log)
        try:
            shop.open()
            shop.run(Changes(watched))
        except Interrupted:
            log.say("dev", "stopping")
        finally:
            log.follow(processes.children)


class _Workshop:
    def __init__(self, plan: Plan, processes: Processes, signals: StopSignals, log: OneLog) -> None:
        self._plan = plan
        self._processes = processes
        self._signals = signals
        self._log = log
        self._environment: dict[str, str] = {}
        self._worker: Child | None = None
        self._started = 0

    def open(self) -> None:
        """Start everything; return when the worker is on its way."""
        processors = environment.absolute(self._plan.processors)
        directory = self._processes.directory
        base = environment.base_environment(environment.find_root(), directory, Path.cwd())
        redis_url = self._start_redis(base)
        if self._plan.is_account:
            self._environment = _of_account(base, redis_url, processors)
        else:
            ready = self._start_sandbox(base, processors)
            self._environment = environment.worker_environment(
                base, redis_url=redis_url, ready=ready, processors=processors
            )
        beat = environment.celery_command("--quiet", "beat", "-l", "warning")
        self._processes.start("beat", beat, environment=self._environment)
        self._start_worker()

    def run(self, changes: Changes) -> None:
        """Show the log, and start the worker anew when a file changes.

        Raises:
            Interrupted: A signal came.
        """
        while True:
            self._log.follow(self._processes.children)
            changed = changes.new()
            if changed:
                self._log.say("dev", f"{_named(changed)} changed: the worker starts anew")
                self._replace_worker()
            self._look_after()
            self._signals.wait(_LOOK_SECONDS)

    def _start_redis(self, base: Mapping[str, str]) -> str:
        try:
            program = find_server()
        except NoServer as error:
            raise click.ClickException(str(error)) from error
        port = free_port()
        command = server_command(program, port=port, directory=self._processes.directory)
        # Its own lines tell nothing that helps to write a processor.
        child = self._processes.start(
            "redis", [*command, "--loglevel", "warning"], environment=base
        )
        self._await(child, lambda: answers_ping(port))
        return f"redis://{HOST}:{port}/0"

    def _start_sandbox(
        self, base: Mapping[str, str], processors: Sequence[str]
    ) -> environment.Ready:
        ready_file = self._processes.directory / "sandbox.json"
        command = environment.sandbox_command(
            port=0,
            requests=self._plan.requests,
            seed=1,
            latency_ms=0,
            ready_file=ready_file,
            without=environment.kinds_without(processors),
        )
        child = self._processes.start("sandbox", command, environment=base)
        self._await(child, ready_file.exists)
        ready = environment.read_ready(ready_file)
        self._log.say("dev", f"what happened: {ready.url}/sandbox/report")
        more = f'curl -X POST {ready.url}/sandbox/requests -d \'{{"kind": "fulfillment"}}\''
        self._log.say("dev", f"more work: {more}")
        return ready

    def _start_worker(self) -> None:
        self._started += 1
        count = str(self._plan.concurrency)
        self._worker = self._processes.start(
            "worker",
            environment.celery_command("--quiet", "worker", "-c", count, "-l", "info"),
            environment=self._environment,
            # Each has a log of its own.
            number=self._started,
            grace_seconds=GRACE_SECONDS,
        )

    def _replace_worker(self) -> None:
        former = self._worker
        if former is not None:
            self._processes.end(former)
            self._log.follow([former])
        self._start_worker()

    def _look_after(self) -> None:
        """Go on without the worker; without anything else there is nothing to go on with."""
        for child in self._processes.children:
            if child.status is not None and child is not self._worker:
                raise click.ClickException(f"The {child.name} ended by itself:\n{child.last_lines}")
        if self._worker is not None and self._worker.status is not None:
            self._log.follow([self._worker])
            self._log.say("dev", "the worker has ended: it starts anew when a file changes")
            self._processes.end(self._worker)
            self._worker = None

    def _await(self, child: Child, works: Callable[[], bool]) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not works():
            if child.status is not None or time.monotonic() > give_up:
                raise click.ClickException(f"The {child.name} did not start:\n{child.last_lines}")
            self._signals.wait(0.05)


def _of_account(
    base: Mapping[str, str], redis_url: str, processors: Sequence[str]
) -> dict[str, str]:
    """Return the environment for the user's own account, read as a worker reads it.

    Raises:
        ClickException: It names no account.
    """
    try:
        for name in accounts_of(Settings.from_env()):
            settings_of(name).config()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    given = {**dotenv_values(".env"), **os.environ}
    own = {
        name: text
        for name, text in given.items()
        if text is not None and (name.startswith("CONNECT_") or name == "VENDOR_URL")
    }
    for name in _OTHER_REDIS:
        own.pop(name, None)
        own.pop(f"{name}_FILE", None)
    return {
        **base,
        **own,
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_PROCESSORS": ",".join(processors),
        "CONNECT_LOG_FORMAT": "text",
    }


def _named(paths: Sequence[Path]) -> str:
    here = Path.cwd()
    names = [
        str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in paths
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
