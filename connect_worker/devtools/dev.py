"""``connect-worker dev``: run the stack with one log, and reload the worker when a file changes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from dotenv import dotenv_values
from rich.console import Console

from connect_worker.devtools.dashboard import MergedLog
from connect_worker.devtools.embedded_redis import find_server
from connect_worker.devtools.processes import (
    Child,
    Interrupted,
    ProcessError,
    Processes,
    StopSignals,
)
from connect_worker.devtools.stack import (
    SandboxOptions,
    Stack,
    resolve_paths,
    uncovered_kinds,
    worker_environment,
)
from connect_worker.exceptions import SettingsError
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings

REFRESH_SECONDS = 0.2
#: Variables that would lead the processes to another Redis than the embedded one.
_REDIS_VARIABLES = ("CONNECT_REDIS_URL", "CONNECT_BROKER_URL")


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the user chooses."""

    #: Modules or `.py` paths.
    processors: Sequence[str]
    #: Whether to process the user's own account instead of a sandbox's.
    own_account: bool = False
    requests: int = 20
    concurrency: int = 2
    #: Whether the log shows polls and sweeps that find nothing.
    with_routine: bool = False


def run(options: DevOptions, *, watched: Sequence[Path], console: Console) -> None:
    """Run the stack until a signal arrives.

    Args:
        options: What to run.
        watched: Folders; a change of a Python file below one of them reloads the worker.
        console: Where to show the log.

    Raises:
        ClickException: A process did not start, or a process other than the worker ended.
    """
    log = MergedLog(console, with_routine=options.with_routine)
    with (
        tempfile.TemporaryDirectory(prefix="connect-worker-dev-") as directory,
        StopSignals() as signals,
        Processes(
            Path(directory), in_hurry=lambda: signals.count > 1, wait=signals.wait
        ) as processes,
    ):
        try:
            reloader = _Reloader(options, processes, log)
            changes = FileChanges(watched)
            while True:
                reloader.refresh(changes.new())
                signals.wait(REFRESH_SECONDS)
        except Interrupted:
            log.say("dev", "stopping")
        except ProcessError as error:
            raise click.ClickException(str(error)) from error
        finally:
            log.follow(processes.children)


class _Reloader:
    """A running stack whose worker is replaced when a file changes."""

    def __init__(self, options: DevOptions, processes: Processes, log: MergedLog) -> None:
        self._options = options
        self._processes = processes
        self._log = log
        self._stack = Stack(processes, Path.cwd())
        self._environment = self._start()
        self._stack.start_beat(self._environment, log_level="warning")
        #: How often a worker was started: each has its own log.
        self._starts = 0
        self._worker: Child | None = None
        self._start_worker()

    def refresh(self, changed: Sequence[Path]) -> None:
        """Show what was logged, and reload the worker if files changed.

        Raises:
            ProcessError: A process other than the worker ended.
        """
        self._log.follow(self._processes.children)
        if changed:
            self._log.say("dev", f"{_names(changed)} changed: restarting the worker")
            self._end_worker()
            self._start_worker()
        if self._processes.require_running(may_end="worker"):
            self._end_worker()
            self._log.say("dev", "the worker ended; it restarts when a file changes")

    def _start(self) -> dict[str, str]:
        """Start Redis and the sandbox; return the environment of beat and the worker."""
        processors = resolve_paths(self._options.processors)
        redis_url = self._stack.start_redis(find_server())
        if self._options.own_account:
            own = _own_account_environment(redis_url, processors)
            return {**self._stack.environment, **own}
        sandbox = self._stack.start_sandbox(
            SandboxOptions(requests=self._options.requests, without=uncovered_kinds(processors))
        )
        self._log.say("dev", f"report of the sandbox: {sandbox.url}/sandbox/report")
        command = f'curl -X POST {sandbox.url}/sandbox/requests -d \'{{"kind": "fulfillment"}}\''
        self._log.say("dev", f"to add a request: {command}")
        return worker_environment(
            self._stack.environment, redis_url=redis_url, sandbox=sandbox, processors=processors
        )

    def _start_worker(self) -> None:
        self._starts += 1
        self._worker = self._stack.start_worker(
            self._environment, number=self._starts, concurrency=self._options.concurrency
        )

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._processes.end(self._worker)
            self._log.follow([self._worker])
            self._worker = None


def _own_account_environment(redis_url: str, processors: Sequence[str]) -> Mapping[str, str]:
    """Return the variables of the user's own account, as a worker would read them.

    Raises:
        ClickException: The environment and `.env` have no account.
    """
    try:
        for name in accounts_of(Settings.from_env()):
            settings_of(name).config()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    variables = {
        name: value
        for name, value in {**dotenv_values(".env"), **os.environ}.items()
        if value is not None and (name.startswith("CONNECT_") or name == "VENDOR_URL")
    }
    for name in _REDIS_VARIABLES:
        variables.pop(name, None)
        variables.pop(f"{name}_FILE", None)
    return variables | {
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_PROCESSORS": ",".join(processors),
        "CONNECT_LOG_FORMAT": "text",
    }


def _names(paths: Sequence[Path]) -> str:
    here = Path.cwd()
    names = [
        str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in paths
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


#: Folders that are not watched, in addition to hidden ones.
_UNWATCHED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


class FileChanges:
    """Finds changed Python files by their times: a few hundred files take a millisecond or two.

    Args:
        folders: Where to look, with everything below.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._known = self._times()

    def new(self) -> list[Path]:
        """Return the files that were written, created or removed since the last call."""
        now = self._times()
        changed = {path for path, _ in self._known.items() ^ now.items()}
        self._known = now
        return sorted(changed)

    def _times(self) -> dict[Path, int]:
        times = {}
        for top in self._folders:
            for folder, names, files in os.walk(top):
                names[:] = [n for n in names if n not in _UNWATCHED and not n.startswith(".")]
                for name in files:
                    # The copies that an editor makes for itself begin with a dot.
                    if name.endswith(".py") and not name.startswith("."):
                        path = Path(folder, name)
                        try:
                            times[path] = path.stat().st_mtime_ns
                        except OSError:
                            # Removed in the meantime.
                            continue
        return times
