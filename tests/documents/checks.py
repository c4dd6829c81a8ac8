"""What is checked of a block, by its language. A language that is not here fails."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from unittest import mock

import yaml
from dotenv import dotenv_values
from flower.options import default_options

from connect_worker.ledger.acl import USER, user_rules
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.environment import PREFIX, descriptions
from connect_worker.settings.model import Settings
from tests.documents.programs import COMPOSE, understand
from tests.support.page_blocks import ROOT, Block

OURS = {PREFIX + name for description in descriptions(Settings) for name in description.variables}
COMPOSES = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
FLOWERS = {f"FLOWER_{name.upper()}" for name in default_options}
KNOWN = OURS | COMPOSES | FLOWERS | {"COMPOSE_PROFILES", "VENDOR_URL"}
#: What pages call accounts.
EXAMPLES = ("eu", "us")
#: Stand for what only the reader knows, and for what only a shell does.
UNKNOWN = ("…", "$(")
DOCKERFILE = frozenset({"COPY", "ENV", "FROM", "RUN", "USER", "WORKDIR"})


def _shell(block: Block) -> None:
    for command in understand(block.text):
        _variables(command.variables)


def _environment(block: Block) -> None:
    values = dotenv_values(stream=io.StringIO(block.text), interpolate=False)
    assert values
    _variables({name: value or "" for name, value in values.items()})


def _variables(values: Mapping[str, str]) -> None:
    """Each is one that something reads, and the settings take the values of theirs."""
    settings = {name: _of_all(name) for name in values}
    assert set(settings.values()) <= KNOWN, set(settings.values()) - KNOWN
    ours = {
        name: value
        for name, value in values.items()
        # Files are on the reader's machine.
        if settings[name] in OURS
        and not any(mark in value for mark in UNKNOWN)
        and not name.endswith("_FILE")
    }
    accounts = ",".join(sorted(set(EXAMPLES) & {_account(name) for name in values}))
    with mock.patch.dict("os.environ", {"CONNECT_ACCOUNTS": accounts} | ours, clear=True):
        Settings.from_env(dotenv=None)
        for account in filter(None, accounts.split(",")):
            settings_of(account, dotenv=None)


def _account(name: str) -> str:
    """The account whose own variable it is; "" for none of those in examples."""
    return next((item for item in EXAMPLES if name.startswith(f"{PREFIX}{item.upper()}_")), "")


def _of_all(name: str) -> str:
    """The variable that says for all accounts what this one says for one."""
    account = _account(name)
    return name.replace(f"{PREFIX}{account.upper()}_", PREFIX, 1) if account else name


def _json(block: Block) -> None:
    json.loads(block.text)


def _yaml(block: Block) -> None:
    document = yaml.safe_load(block.text)
    assert isinstance(document, dict)
    # What the pages show is laid over this project's Compose file.
    assert set(document.get("services", {})) <= set(COMPOSE["services"])


def _dockerfile(block: Block) -> None:
    lines = block.text.replace("\\\n", " ").splitlines()
    assert lines[0].startswith("FROM ")
    assert {line.partition(" ")[0] for line in lines} <= DOCKERFILE


def _python(block: Block) -> None:
    """Its grammar; tests/documents/test_python.py runs it."""
    compile(block.text, str(block), "exec")


def _acl(block: Block) -> None:
    """What `redis-acl` prints without settings."""
    with mock.patch.dict("os.environ", {"CONNECT_ACCOUNTS": ""}, clear=True):
        rules = user_rules(Settings.from_env(dotenv=None), version=(8, 0))
    assert block.text == " ".join(["user", USER, *rules]) + "\n"


def _layers(block: Block) -> None:
    """The order of imports, as import-linter holds it."""
    config = (ROOT / ".importlinter").read_text(encoding="utf-8")
    layers = config.partition("layers =")[2].partition("\n\n")[0]
    named = re.findall(r"\w+", block.text)
    places = [_place(layers, package) for package in named]
    assert places == sorted(places), block.text


def _place(layers: str, package: str) -> int:
    found = re.search(rf"(^|\s|\.){package}\b", layers)
    assert found, f"import-linter knows no package {package}"
    return layers.count("\n", 0, found.start() + 1)


CHECKS: Mapping[str, Callable[[Block], None]] = {
    "acl": _acl,
    "dockerfile": _dockerfile,
    "ini": _environment,
    "json": _json,
    "python": _python,
    "layers": _layers,
    "sh": _shell,
    "yaml": _yaml,
}


def check(block: Block) -> None:
    """Check one block.

    Raises:
        AssertionError: It is wrong, or nothing checks blocks of its language.
    """
    assert block.language, "a block without a language: nothing can check it"
    assert block.language in CHECKS, f"nothing checks blocks of {block.language}"
    CHECKS[block.language](block)
