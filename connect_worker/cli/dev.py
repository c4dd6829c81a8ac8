"""``connect-worker dev``: run all parts while you write; reload the worker on change."""

from __future__ import annotations

from pathlib import Path

import click

from connect_worker.cli.context import TerminalConsole, example


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
