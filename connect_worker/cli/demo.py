"""``connect-worker demo``: the whole product at work on one machine, against a sandbox."""

from __future__ import annotations

from pathlib import Path

import click

from connect_worker.cli.context import TerminalConsole, example

_PORT = click.IntRange(0, 65535)


@click.command(
    short_help="Run everything against a sandbox, and watch.",
    epilog=example(
        "connect-worker demo --exit-when-done",
        "connect-worker demo --processors my_vendor.processors --workers 3",
    ),
)
@click.option(
    "--processors",
    default="",
    metavar="MODULES",
    help="Your processors: modules or .py files, separated by commas. The sandbox then has "
    "requests of their kinds only.  [default: this project's examples]",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Number of pending requests in the sandbox, over all kinds.",
)
@click.option(
    "--exit-when-done",
    is_flag=True,
    help="End when every request is decided. The exit status is 0 only if each was decided "
    "exactly once.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="With --exit-when-done: end after this time at the latest.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Number of workers. Kill one of several: the others take over its requests.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Number of jobs that each worker runs at the same time.",
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
    help="How long the sandbox takes for each answer.",
)
@click.option(
    "--log-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the logs of the processes.  [default: a temporary folder, kept on failure]",
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
    """Run Redis, a sandbox Connect, beat, workers and Flower, and show how they work.

    The demo installs nothing and calls no other machine. Ctrl-C stops everything.
    """
    # `--help` does not need these imports, which take a moment.
    from connect_worker.devtools.demo import DemoOptions, run
    from connect_worker.devtools.stack import SandboxOptions, resolve_paths

    options = DemoOptions(
        sandbox=SandboxOptions(sandbox_port, requests, seed, latency_ms),
        workers=workers,
        concurrency=concurrency,
        flower_port=flower_port,
        redis_port=redis_port,
        processors=resolve_paths(processors.split(",")) if processors else (),
    )
    timeout = timeout_seconds if exit_when_done else None
    raise SystemExit(
        run(options, timeout_seconds=timeout, log_dir=log_dir, console=TerminalConsole())
    )
