"""``connect-worker dev``: all parts while you write, started anew when a file changes."""

from __future__ import annotations

from pathlib import Path

import click

from connect_worker.cli.options import example


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
    help="Process requests of the account in the environment or .env, instead of a sandbox's: "
    "what your processors decide is posted.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many requests of all kinds wait in the sandbox; those of kinds that you have no "
    "processors for are left out.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many jobs the worker runs at once.",
)
@click.option(
    "--watch",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another folder whose Python files are watched; may be given again.",
)
@click.option("--verbose", is_flag=True, help="Show polls and sweeps that find nothing, too.")
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

    When a Python file below the working directory changes, the worker finishes its jobs and is
    started anew. What is broken is shown, and the next change tried.

    The ledger is an embedded Redis that is empty at the start: also with --own-account, which then
    processes all that waits there, beside any other worker of the account.
    """
    # Drawing and finding the processors take a moment; `--help` needs neither.
    from rich.console import Console

    from connect_worker.devtools.dev_stack import Plan, work

    plan = Plan(
        processors,
        is_account=own_account,
        requests=requests,
        concurrency=concurrency,
        is_verbose=verbose,
    )
    work(plan, watched=[Path.cwd(), *watch], console=Console())
