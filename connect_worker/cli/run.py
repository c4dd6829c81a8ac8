"""One run of the demo: set up, watch until the end, judge, and leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from connect_worker.cli.embedded import find_server
from connect_worker.cli.ending import Ending, Judged, Stopped, conclude
from connect_worker.cli.pace import Pace
from connect_worker.cli.picture import Scene
from connect_worker.cli.processes import Processes
from connect_worker.cli.screen import Screen
from connect_worker.cli.signals import Interrupted, StopSignals
from connect_worker.cli.stage import Stage, Wishes, require_alive, require_ports, set_up
from connect_worker.cli.watching import Watch

LOOK_SECONDS = 0.25
#: So many looks in a row must find nothing left to do.
QUIET_LOOKS = 2


def run(
    wishes: Wishes,
    *,
    timeout_seconds: float | None,
    log_dir: Path | None,
    console: Console,
    find_redis: Callable[[], Path] = find_server,
) -> int:
    """Run the demo and return its exit status.

    Args:
        wishes: How large it is, and its ports.
        timeout_seconds: None runs until a signal comes. Else it ends when all is resolved, or
            after this time.
        log_dir: Where the logs go and stay; a temporary folder, kept on failure, when None.
        console: Where it is shown.
        find_redis: Finds the program of the Redis server.

    Raises:
        ClickException: Something can't start, or ended by itself.
    """
    require_ports(wishes)
    with _directory(log_dir) as directory:
        with (
            StopSignals() as signals,
            Screen(console, is_passing=timeout_seconds is not None) as screen,
            Processes(directory, in_hurry=lambda: signals.count > 1) as processes,
        ):
            screen.say("Starting Redis, the sandbox, Flower, the workers and beat …")
            try:
                stage = set_up(wishes, processes=processes, signals=signals, find_redis=find_redis)
                ending = _watch(stage, screen, processes, signals, timeout_seconds)
            except Interrupted:
                ending = Stopped(signals.first, is_early=timeout_seconds is not None)
            screen.say_stopping()
        status = conclude(ending, directory=directory, console=console)
        is_worth_reading = isinstance(ending, Judged) and status != 0
        if log_dir is None and not is_worth_reading:
            shutil.rmtree(directory, ignore_errors=True)
    return status


def _watch(
    stage: Stage,
    screen: Screen,
    processes: Processes,
    signals: StopSignals,
    timeout_seconds: float | None,
) -> Ending:
    """Show how far it is until all is resolved; without a timeout, until a signal comes."""
    watch = Watch(stage)
    pace = Pace()
    quiet_looks = 0
    while True:
        lost = tuple(child.name for child in require_alive(processes))
        if (tally := watch.look()) is not None:
            quiet_looks = quiet_looks + 1 if tally.is_quiet else 0
            pace.note(settled=tally.total.settled, active=tally.total.active)
            screen.show(Scene(tally, stage, processes.directory, pace, lost))
        if timeout_seconds is not None:
            is_late = pace.elapsed_seconds > timeout_seconds
            if is_late or quiet_looks >= QUIET_LOOKS:
                limit = timeout_seconds if is_late else None
                return Judged(watch.verdict(), pace.worked_seconds, pace.per_second, limit)
        signals.wait(LOOK_SECONDS)


@contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    """Give the processes a folder; a temporary one that nothing was written to goes again."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    directory = Path(tempfile.mkdtemp(prefix="connect-worker-demo-"))
    try:
        yield directory
    finally:
        if directory.exists() and not any(directory.iterdir()):
            directory.rmdir()
