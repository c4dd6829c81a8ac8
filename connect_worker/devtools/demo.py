"""One run of the demo: set up, watch until the end, judge, and leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from connect_worker.devtools.console_output import Screen
from connect_worker.devtools.dashboard import Pace, Scene
from connect_worker.devtools.embedded_redis import find_server
from connect_worker.devtools.processes import Interrupted, Processes, StopSignals
from connect_worker.devtools.reload import Watch
from connect_worker.devtools.stack import (
    DemoOptions,
    RunningStack,
    require_alive,
    require_ports,
    set_up,
)
from connect_worker.devtools.verdict import Ending, Judged, Stopped, conclude

LOOK_SECONDS = 0.25
#: So many looks in a row must find nothing left to do.
QUIET_LOOKS = 2


def run(
    wishes: DemoOptions,
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
    stage: RunningStack,
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
            pace.note(settled=tally.total.ended, active=tally.total.active)
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


# ``connect-worker demo``: the whole product at work on one machine; only Connect is a stand-in.

_PORT = click.IntRange(0, 65535)


@click.command()
@click.option(
    "--processors",
    default="",
    metavar="MODULES",
    help="Yours, with commas between; the sandbox then has requests of their kinds only.  "
    "[default: this project's examples]",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many requests wait in the sandbox, over the four kinds.",
)
@click.option(
    "--exit-when-done",
    is_flag=True,
    help="End when every request is resolved; exit status 0 only if each was, exactly once.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="With --exit-when-done: how long to wait for that.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="How many workers; kill one and see.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many jobs each worker runs at once.",
)
@click.option("--flower-port", type=_PORT, default=0, help="[default: 5555, or a free one]")
@click.option("--redis-port", type=_PORT, default=0, help="[default: a free one]")
@click.option("--sandbox-port", type=_PORT, default=0, help="[default: a free one]")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="The same seed gives the same requests on the same day.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="How long the sandbox takes for every answer.",
)
@click.option(
    "--log-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the processes write their logs.  [default: a temporary folder, kept on failure]",
)
def demo(
    *,
    processors: str,
    requests: int,
    exit_when_done: bool,
    timeout_seconds: float,
    workers: int,
    concurrency: int,
    flower_port: int,
    redis_port: int,
    sandbox_port: int,
    seed: int,
    latency_ms: float,
    log_dir: Path | None,
) -> None:
    """Run Redis, a stand-in for Connect, beat, workers and Flower, and watch them work.

    Nothing is installed and nothing leaves this machine. Ctrl-C stops everything.
    """
    # Drawing and talking to Redis take a moment to load; `--help` needs neither.
    from rich.console import Console

    from connect_worker.devtools.environment import absolute
    from connect_worker.devtools.stack import DemoOptions

    wishes = DemoOptions(
        processors=absolute(processors.split(",")) if processors else (),
        requests=requests,
        workers=workers,
        concurrency=concurrency,
        flower_port=flower_port,
        redis_port=redis_port,
        sandbox_port=sandbox_port,
        seed=seed,
        latency_ms=latency_ms,
    )
    timeout = timeout_seconds if exit_when_done else None
    raise SystemExit(run(wishes, timeout_seconds=timeout, log_dir=log_dir, console=Console()))
