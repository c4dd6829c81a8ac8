"""``connect-worker new``: writes a small project whose commands work at once."""

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

from connect_worker.cli.context import example

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
