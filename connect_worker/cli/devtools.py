"""``connect-worker new|dev|demo``: what a developer of processors runs.

`new` writes a small project whose commands work at once. `dev` and `demo` run the whole product on
one machine, against a sandbox.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from keyword import iskeyword
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

from connect_worker.cli.context import TerminalConsole, example

# ---- new

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
#: Top-level names that the project or its dependencies use already.
_TAKEN = {"celery", "celeryconfig", "connect", "connect_worker", "requests", "tasks", "tests"}
_SUFFIX = ".tmpl"
#: Names that get their dot only in the project: git, Docker and dotenv would read these files.
_DOTTED = {"gitignore", "dockerignore", "env.example"}


@click.command(
    "new",
    short_help="Write a small project of your own.",
    epilog=example("connect-worker new my-vendor && cd my-vendor && make test"),
)
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the project.  [default: its name]",
)
@click.option(
    "--connect-worker",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Depend on connect-worker in this folder.  [default: on what is installed here: the same "
    "folder, archive or git commit, or the same version from the index]",
)
def new(*, name: str, directory: Path | None, source: Path | None) -> None:
    """Write a small project: processors, their tests, settings, a compose file, a README.

    Its `make test` and `make demo` pass as they are. Its requirements are those that this version
    of connect-worker was tested with, each with its hashes; its `make lock` writes newer ones.
    """
    package = _package(name)
    folder = directory or Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty. Choose another folder: --directory.")
    address = source.resolve().as_uri() if source else installed_from()
    values = {
        "name": name,
        "package": package,
        "requirement": _requirement(address),
    }
    for path, text in _render(files("connect_worker.cli") / "template", values):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(f"  {file}")
    click.echo(f"\nNow:  cd {folder} && make test && make demo")
    if address.startswith(("file:", "git+")):
        click.echo(
            f"It depends on {address}. Before you build its image, put a wheel or an archive that "
            "Docker can reach into connect-worker.txt, such as `connect-worker @ https://….whl`.",
            err=True,
        )


def installed_from() -> str:
    """Return the address from which this package was installed; "" for an index.

    pip records it (PEP 610): a folder, an archive, or a commit of a repository.
    """
    try:
        origin = json.loads(distribution("connect-worker").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    address = str(origin.get("url", ""))
    if vcs := origin.get("vcs_info"):
        return f"{vcs['vcs']}+{address}@{vcs['commit_id']}"
    local = urlsplit(address)
    if local.scheme == "file" and not Path(url2pathname(local.path)).exists():
        return ""
    return address


def _package(name: str) -> str:
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r}: use lower-case letters, digits and hyphens.")
    if package in _TAKEN | sys.stdlib_module_names or iskeyword(package):
        raise click.BadParameter(
            f"{name!r}: {package} is the name of a module. Choose another name."
        )
    return package


def _requirement(address: str) -> str:
    if address:
        return f"connect-worker @ {address}"
    return f"connect-worker=={version('connect-worker')}"


def _render(folder: Traversable, values: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield each file of a folder of templates with its text."""
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            # This one folder is named after the project.
            name = values["package"] if entry.name == "package" else entry.name
            for path, text in _render(entry, values):
                yield Path(name) / path, text
        elif entry.name.endswith(_SUFFIX):
            name = entry.name.removesuffix(_SUFFIX)
            text = entry.read_text(encoding="utf-8")
            for key, value in values.items():
                text = text.replace(f"{{{{{key}}}}}", value)
            yield Path(f".{name}" if name in _DOTTED else name), text


# ---- dev and demo

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
