"""How the commands of a page are checked: by the program's own parser where it is a Python one."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click
import yaml
from celery.bin.celery import celery
from flower import options as _flower_options  # noqa: F401 - defines them
from tornado.options import options as flower_options

from connect_worker.cli import main
from connect_worker.sandbox.__main__ import main as sandbox
from connect_worker.sandbox.api import router
from tests.documents.shell import Command, commands
from tests.support.page_blocks import ROOT

Check = Callable[[list[str], Path], None]

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BENCH = (ROOT / "bench" / "__main__.py").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
MANIFESTS = "\n".join(path.read_text() for path in (ROOT / "deploy/kubernetes").glob("*.yaml"))
#: Where a page says to clone or install to: this tree.
CLONES = ("connect-worker", "/opt/connect-worker")
#: What `celery -A` takes: in a clone, and where the package is installed.
APPLICATIONS = ("tasks", "connect_worker")
#: Commands of ours that start Celery's.
CELERYS = ("worker", "beat", "flower")
#: Options of programs that need not be here, and whether each has a value.
DOCKER: Mapping[str, Mapping[str, bool]] = {
    "build": {"--tag": True},
    "compose build": {},
    "compose down": {"--volumes": False},
    "compose exec": {},
    "compose logs": {"--follow": False},
    "compose ps": {"--quiet": False},
    "compose restart": {},
    "compose up": {"--detach": False, "--build": False, "--scale": True, "--no-deps": False},
    "kill": {"--signal": True},
    "run": {"--detach": False, "--publish": True, "--name": True, "--rm": False},
}
CURL = {"--silent": False, "--request": True, "--data": True, "--header": True, "--fail": False}
#: Programs of which nothing that this project has is asked.
FOREIGN = frozenset({"apt-get", "cat", "head", "jobs", "kill", "mkdir", "redis-cli", "sed"}) | {
    "unset",
    "useradd",
}


def understand(text: str) -> list[Command]:
    """Check each command of a shell block; return them.

    Raises:
        AssertionError, click.ClickException, ValueError: One would not do what it says.
    """
    folder, found = ROOT, list(commands(text))
    for words in (command.words for command in found if command.words):
        if words[0] == "cd":
            folder = _folder(words[1], folder)
            continue
        program = words[0].removeprefix(".venv/bin/")
        assert program in PROGRAMS or program in FOREIGN, f"nothing checks the program {program}"
        if program in PROGRAMS:
            PROGRAMS[program](words[1:], folder)
    return found


def click_takes(command: click.Command, words: list[str]) -> None:
    """Parse and check all of a command line, and run nothing."""
    command.make_context(command.name or "", list(words))


def _connect_worker(words: list[str], folder: Path) -> None:
    name, *rest = words
    if name in CELERYS:
        assert name in main.commands
        # Their options are Celery's and Flower's.
        _celery(["-A", "connect_worker", name, *rest], folder)
        return
    assert name in main.commands, f"connect-worker has no command {name}"
    click_takes(sandbox if name == "sandbox" else main.commands[name], rest)


def _celery(words: list[str], _: Path) -> None:
    first, app, name, *rest = words
    assert first == "-A"
    assert app in APPLICATIONS, f"no application {app}"
    command = celery.commands[name]
    if name == "flower":
        # Flower's options are Tornado's, which click lets through.
        given = {word.removeprefix("--").partition("=")[0].replace("-", "_") for word in rest}
        assert given <= {option.replace("-", "_") for option in flower_options}, given
        return
    # Types and defaults ask for an application; names and numbers of values don't.
    parser = command.make_parser(click.Context(command))
    left = parser.parse_args(list(rest))[1]
    assert not left, left


def _make(words: list[str], _: Path) -> None:
    targets = [word for word in words if "=" not in word]
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M), f"make has no target {target}"
    for name, value in variables.items():
        assert re.search(rf"^{name} \?=", MAKEFILE, re.M), f"make has no variable {name}"
        if name == "ARGS" and "demo" in targets:
            click_takes(main.commands["demo"], shlex.split(value))
        if name == "ARGS" and "bench" in targets:
            # Its module needs packages that are there for `make bench` only.
            assert all(f'"{word}"' in BENCH for word in shlex.split(value)), value


def _python(words: list[str], folder: Path) -> None:
    if words[0] != "-m":
        return _script(words)
    module, *rest = words[1:]
    assert importlib.util.find_spec(module) is not None, f"there is no module {module}"
    if module == "connect_worker":
        return _connect_worker(rest, folder)
    if module == "connect_worker.sandbox":
        return click_takes(sandbox, rest)
    return None


def _script(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "python -c", "exec")
    else:
        # The reader's own, or one of this tree.
        assert words[0].endswith(".py")
        assert "/" not in words[0] or (ROOT / words[0]).is_file()


def _pip(words: list[str], folder: Path) -> None:
    command, *rest = words
    assert command in ("install", "uninstall")
    flags, others = _options(rest, {"--require-hashes": False, "-r": True, "--no-deps": False})
    for file in flags.get("-r", ()):
        assert (folder / file).is_file(), file
    for package in others:
        path, _, extras = package.removesuffix("]").partition("[")
        if path in (".", "./connect-worker", "~/connect-worker"):
            project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            assert all(f"\n{extra} = [" in project for extra in extras.split(",") if extra)


def _docker(words: list[str], _: Path) -> None:
    name = " ".join(words[: 2 if words[0] == "compose" else 1])
    assert name in DOCKER, f"nothing checks docker {name}"
    flags, others = _options(words[len(name.split()) :], DOCKER[name])
    services = [*flags.get("--scale", ()), *(others[:1] if name.startswith("compose") else ())]
    assert {service.partition("=")[0] for service in services} <= set(COMPOSE["services"])
    if name == "compose exec" and others[1:]:
        understand(shlex.join(others[1:]))


def _kubectl(words: list[str], folder: Path) -> None:
    verb, *rest = words
    flags, others = _options(rest, {"-f": True, "-k": True, "--from-literal": True})
    for file in flags.get("-f", ()):
        assert (folder / file).is_file(), file
    for place in flags.get("-k", ()):
        assert (folder / place / "kustomization.yaml").is_file(), place
    for literal in flags.get("--from-literal", ()):
        assert f"\n  {literal.partition('=')[0]}: " in MANIFESTS, literal
    if verb == "port-forward":
        assert f"name: {others[0].removeprefix('service/')}\n" in MANIFESTS, others


def _curl(words: list[str], _: Path) -> None:
    flags, (url,) = _options(words, CURL)
    address = urlsplit(url)
    if address.port == 8800:
        # Refuses what is no endpoint of the sandbox.
        router.match(flags.get("--request", ["GET"])[0], address.path)


def _systemctl(words: list[str], _: Path) -> None:
    others = _options(words, {"--now": False})[1]
    for unit in others[1:]:
        name, at = unit.partition("@")[:2]
        assert (ROOT / f"deploy/systemd/{name}{at}.service").is_file(), unit


def _install(words: list[str], folder: Path) -> None:
    *sources, _place = _options(words, {"-m": True})[1]
    assert all(any(folder.glob(source)) for source in sources), sources


def _git(words: list[str], _: Path) -> None:
    assert words[0] == "clone"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{words[1]}/' in project, "not the address that pyproject.toml names"


def _openssl(words: list[str], _: Path) -> None:
    # As many bytes as a key of Fernet's has.
    assert words == ["rand", "-base64", "32"]


def _source(words: list[str], _: Path) -> None:
    assert words == [".venv/bin/activate"]


def _eval(words: list[str], _: Path) -> None:
    # What it runs is a substitution, and checked as such.
    assert words[0].startswith("$(")


PROGRAMS: Mapping[str, Check] = {
    ".": _source,
    "celery": _celery,
    "connect-worker": _connect_worker,
    "curl": _curl,
    "docker": _docker,
    "eval": _eval,
    "git": _git,
    "install": _install,
    "kubectl": _kubectl,
    "make": _make,
    "openssl": _openssl,
    "pip": _pip,
    "python": _python,
    "python3": _python,
    "systemctl": _systemctl,
}


def _folder(name: str, folder: Path) -> Path:
    if name in CLONES:
        return ROOT
    assert (folder / name).is_dir(), f"no folder {name}"
    return folder / name


def _options(
    words: Iterable[str], known: Mapping[str, bool]
) -> tuple[dict[str, list[str]], list[str]]:
    """Part a command line into options with their values, and the rest."""
    flags: dict[str, list[str]] = {}
    others: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            others.append(word)
            continue
        assert name in known, f"nothing knows the option {name}"
        if known[name]:
            flags.setdefault(name, []).append(value if equals else next(waiting))
        else:
            flags.setdefault(name, [])
    return flags, others
