"""What the demo's processes find around them: the project, the environment, their commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from connect_worker.devtools.embedded_redis import HOST
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.discovery import find_automations, parted

PROCESSORS = (
    "examples.purchases",
    "examples.resellers",
    "examples.usage_reports",
    "examples.usage_reviews",
)

#: The sandbox's options that say how many requests it has.
_COUNTS = {
    RequestKind.FULFILLMENT: "--fulfillment",
    RequestKind.TIER_CONFIG: "--tier-config",
    RequestKind.USAGE_FILE: "--usage-files",
    RequestKind.USAGE: "--listings",
}

#: Of the user's environment: settings of a real account, of Celery and of Flower.
_FOREIGN = ("CONNECT_", "CELERY_", "FLOWER_", "VENDOR_URL")


@dataclass(frozen=True, slots=True)
class Ready:
    """What the sandbox says in its ready file."""

    url: str
    api_url: str
    api_key: str


def read_ready(ready_file: Path) -> Ready:
    """Read what a sandbox has written once it listens."""
    document = json.loads(ready_file.read_text())
    return Ready(document["url"], document["api_url"], document["api_key"])


def find_root() -> Path:
    """Return the folder that holds `examples/`: the clone, or the wheel's copy of it.

    Raises:
        ClickException: There is none.
    """
    # pyproject.toml puts the copy there.
    folders = (Path(__file__).parent / "bundled", Path(__file__).parents[2])
    for folder in folders:
        if (folder / "examples" / "purchases.py").is_file():
            return folder
    raise click.ClickException(
        f"The processors of the demo are missing: there is no examples/ in {folders[0]} or "
        f"{folders[1]}. Install connect-worker again."
    )


def absolute(processors: Iterable[str]) -> tuple[str, ...]:
    """Return modules as they are, and paths so that they are found from any directory."""
    parts = (parted(processor.strip()) for processor in processors)
    return tuple(
        (str(Path(name).resolve()) if name.endswith(".py") else name) + (only and f":{only}")
        for name, only in parts
    )


def kinds_without(processors: Sequence[str]) -> list[RequestKind]:
    """Return the kinds that none of these processors is for; all have one when none is named.

    Raises:
        ClickException: A module can't be imported.
    """
    if not processors:
        return []
    try:
        found = {automation.kind for automation in find_automations(processors)}
    except RegistrationError as error:
        raise click.ClickException(str(error).removeprefix("CONNECT_PROCESSORS: ")) from error
    return [kind for kind in RequestKind if kind not in found]


def base_environment(root: Path, directory: Path, *modules: Path) -> dict[str, str]:
    """Return the user's environment without what belongs to another account.

    The processes work in a directory of their own, so that no `.env` and no `flowerconfig.py` of
    the project's folder reaches them either; they find its modules, and those in the folders
    `modules`, by PYTHONPATH.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    paths = [*map(str, modules), str(root), *filter(None, [kept.get("PYTHONPATH")])]
    # What is on this machine is not behind a proxy.
    hosts = [HOST, *filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy")])]
    no_proxy = ",".join(hosts)
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        # Flower looks for its configuration here.
        "PWD": str(directory),
    }


def worker_environment(
    base: Mapping[str, str], *, redis_url: str, ready: Ready, processors: Sequence[str] = PROCESSORS
) -> dict[str, str]:
    """Return the environment of beat, the workers and Flower: the sandbox's account, in a hurry."""
    return {
        **base,
        "CONNECT_API_URL": ready.api_url,
        "CONNECT_API_KEY": ready.api_key,
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_PROCESSORS": ",".join(processors),
        "CONNECT_POLL_SECONDS": "2",
        "CONNECT_SWEEP_SECONDS": "1",
        "CONNECT_RETRY_BASE_SECONDS": "1",
        # A worker that somebody kills to see what happens is missed after this time.
        "CONNECT_LEASE_SECONDS": "15",
        # Its files are read by people: when something fails, their last lines are shown.
        "CONNECT_LOG_FORMAT": "text",
        "VENDOR_URL": f"{ready.url}/vendor",
        # Flower shows its API's GETs to everybody on this machine; `--read-only` refuses the rest.
        "FLOWER_UNAUTHENTICATED_API": "true",
    }


def sandbox_command(
    *,
    port: int,
    requests: int,
    seed: int,
    latency_ms: float,
    ready_file: Path,
    without: Iterable[RequestKind] = (),
) -> list[str]:
    """Return the command that starts the sandbox, with no requests of some kinds."""
    options = {
        "--port": port,
        "--requests": requests,
        "--seed": seed,
        "--latency-ms": latency_ms,
        "--ready-file": ready_file,
        **dict.fromkeys((_COUNTS[kind] for kind in without), 0),
    }
    words = (str(word) for option in options.items() for word in option)
    return [sys.executable, "-m", "connect_worker.sandbox", *words]


def celery_command(*words: str) -> Sequence[str]:
    """Return a command of the project's Celery application."""
    return [sys.executable, "-m", "celery", "-A", "connect_worker", *words]


def worker_command(*, number: int, concurrency: int) -> Sequence[str]:
    """Return the command that starts a worker with a name of its own."""
    return celery_command("worker", "-n", f"demo{number}@%h", "-c", str(concurrency), "-l", "info")


def flower_command(port: int) -> Sequence[str]:
    """Return the command that starts Flower for this machine only."""
    return celery_command("flower", f"--address={HOST}", f"--port={port}", "--read-only=True")
