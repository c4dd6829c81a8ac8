"""``connect-worker demo``: the whole product at work on one machine; only Connect is a stand-in."""

from __future__ import annotations

from pathlib import Path

import click

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

    from connect_worker.cli.run import run
    from connect_worker.cli.stage import Wishes
    from connect_worker.cli.surroundings import absolute

    wishes = Wishes(
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
