"""``connect-worker demo|dev``: the whole product on one machine, against a sandbox."""

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


@click.command(
    short_help="Run all parts while you write; reload on change.",
    epilog=example(
        "connect-worker dev my_vendor.processors",
        "connect-worker dev ./processors.py --own-account",
    ),
)
@click.argument("processors", nargs=-1, required=True, metavar="MODULE...")
@click.option(
    "--own-account",
    is_flag=True,
    help="Process the requests of the account in the environment or .env instead of a sandbox's. "
    "The decisions of your processors are posted to Connect.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Number of pending requests in the sandbox, over all kinds for which you have a "
    "processor.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Number of jobs that the worker runs at the same time.",
)
@click.option(
    "--watch",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another folder whose Python files are watched. Can be repeated.",
)
@click.option("--verbose", is_flag=True, help="Also show polls and sweeps that find nothing.")
def dev(
    *,
    processors: tuple[str, ...],
    own_account: bool,
    requests: int,
    concurrency: int,
    watch: tuple[Path, ...],
    verbose: bool,
) -> None:
    """Run Redis, a sandbox Connect, beat and a worker, with one log, until Ctrl-C.

    When a Python file below the working directory changes, the worker finishes its jobs and
    restarts. If the file is broken, the log shows the error, and the next change restarts the
    worker again.

    The ledger is in an embedded Redis. Even with --own-account the ledger starts empty: dev
    processes every pending request again, besides any other worker.
    """
    # `--help` does not need these imports, which take a moment.
    from connect_worker.devtools.dev import DevOptions, run

    options = DevOptions(
        processors,
        own_account=own_account,
        requests=requests,
        concurrency=concurrency,
        with_routine=verbose,
    )
    run(options, watched=[Path.cwd(), *watch], console=TerminalConsole())
