"""The stack: Redis, the sandbox, workers, beat and Flower, for `demo`, `dev` and the test kit.

First the environment variables and the commands of its processes, then the stack that starts them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from connect_worker.devtools.embedded_redis import (
    HOST,
    free_port,
    is_answering,
    is_free,
    start_server,
)
from connect_worker.devtools.processes import Child, Processes
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.discovery import find_automations, split_target

#: The package that has the demo's processors, and its modules.
EXAMPLES = "examples"
PROCESSORS = tuple(
    f"{EXAMPLES}.{module}"
    for module in ("purchases", "resellers", "usage_reports", "usage_reviews")
)

#: The sandbox's options for the number of requests of each kind.
_COUNTS = {
    RequestKind.FULFILLMENT: "--fulfillment",
    RequestKind.TIER_CONFIG: "--tier-config",
    RequestKind.USAGE_FILE: "--usage-files",
    RequestKind.USAGE: "--listings",
}

#: Variables that the processes do not inherit: settings of a real account, of Celery, of Flower.
_NOT_INHERITED = ("CONNECT_", "CELERY_", "FLOWER_", "VENDOR_URL")


@dataclass(frozen=True, slots=True)
class SandboxAddress:
    """Where a sandbox listens, and the key of its vendor's account."""

    url: str
    api_url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a sandbox contains when it starts; port 0 takes a free one."""

    port: int = 0
    #: How many requests are pending, over all kinds.
    requests: int = 0
    seed: int = 1
    latency_ms: float = 0.0
    #: Kinds that have no requests.
    without: tuple[RequestKind, ...] = ()


def read_address(ready_file: Path) -> SandboxAddress:
    """Read the file that a sandbox writes as soon as it listens."""
    document = json.loads(ready_file.read_text())
    return SandboxAddress(document["url"], document["api_url"], document["api_key"])


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


def base_environment(root: Path, directory: Path, *modules: Path) -> dict[str, str]:
    """Return the user's environment without the settings of any account.

    The processes run in a directory of their own, so they read neither the `.env` nor the
    `flowerconfig.py` of the project's folder. PYTHONPATH leads them to the project's modules.

    Args:
        root: The project's folder.
        directory: The working directory of the processes.
        modules: More folders with modules; these are searched first.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
    paths = [*map(str, modules), str(root), *filter(None, [kept.get("PYTHONPATH")])]
    # All servers are on this machine: a proxy can't reach them.
    hosts = [HOST, *filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy")])]
    no_proxy = ",".join(hosts)
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        # Flower looks for its configuration file here.
        "PWD": str(directory),
    }


def worker_environment(
    base: Mapping[str, str],
    *,
    redis_url: str,
    sandbox: SandboxAddress,
    processors: Sequence[str] = PROCESSORS,
) -> dict[str, str]:
    """Return the environment of beat, workers and Flower for the sandbox's account.

    The intervals are short: a person or a test waits for the result.
    """
    return {
        **base,
        "CONNECT_API_URL": sandbox.api_url,
        "CONNECT_API_KEY": sandbox.api_key,
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_PROCESSORS": ",".join(processors),
        "CONNECT_POLL_SECONDS": "2",
        "CONNECT_SWEEP_SECONDS": "1",
        "CONNECT_RETRY_BASE_SECONDS": "1",
        # After a worker is killed, others take over its requests when its leases expire.
        "CONNECT_LEASE_SECONDS": "15",
        # People read these logs: the last lines are shown when something fails.
        "CONNECT_LOG_FORMAT": "text",
        "VENDOR_URL": f"{sandbox.url}/vendor",
        # Flower answers GETs of its API without a password; `--read-only` refuses the rest.
        "FLOWER_UNAUTHENTICATED_API": "true",
    }


def sandbox_command(options: SandboxOptions, ready_file: Path) -> list[str]:
    """Return the command that starts the sandbox."""
    values = {
        "--port": options.port,
        "--requests": options.requests,
        "--seed": options.seed,
        "--latency-ms": options.latency_ms,
        "--ready-file": ready_file,
        **dict.fromkeys((_COUNTS[kind] for kind in options.without), 0),
    }
    words = (str(word) for value in values.items() for word in value)
    return [sys.executable, "-m", "connect_worker.sandbox", *words]


def celery_command(*words: str) -> list[str]:
    """Return a command of the project's Celery application, without Celery's banner."""
    return [sys.executable, "-m", "celery", "-A", "connect_worker", "--quiet", *words]


FLOWER_PORT = 5555
#: A worker finishes its jobs before it ends.
WORKER_GRACE_SECONDS = 10.0


class Stack:
    """Starts the processes of a stack, each once those that it needs answer.

    What was started keeps running when a later process does not start; `processes` ends it.

    Args:
        processes: Supervises the processes.
        modules: Folders with the user's modules.

    Attributes:
        environment: The environment of Redis and the sandbox. It has no settings of an account.
    """

    def __init__(self, processes: Processes, *modules: Path) -> None:
        self._processes = processes
        self.environment: Mapping[str, str] = base_environment(
            find_root(), processes.directory, *modules
        )

    def start_redis(self, program: Path, *, port: int = 0) -> str:
        """Start an empty Redis and return its URL.

        Args:
            program: The server; see `find_server`.
            port: Its port; 0 takes a free one.

        Raises:
            NoServer: It did not start.
        """
        return start_server(self._processes, program, port=port, environment=self.environment)

    def start_sandbox(self, options: SandboxOptions) -> SandboxAddress:
        """Start a sandbox and return its address.

        Raises:
            ProcessError: It did not start.
        """
        ready_file = self._processes.directory / "sandbox.json"
        ready_file.unlink(missing_ok=True)
        child = self._processes.start(
            "sandbox", sandbox_command(options, ready_file), environment=self.environment
        )
        self._processes.until_ready(child, ready_file.exists)
        return read_address(ready_file)

    def start_worker(
        self,
        environment: Mapping[str, str],
        *,
        number: int,
        concurrency: int,
        pool: str = "prefork",
    ) -> Child:
        """Start a worker; return at once."""
        words = ("-n", f"worker{number}@%h", "-c", str(concurrency), "-P", pool, "-l", "info")
        return self._processes.start(
            "worker",
            celery_command("worker", *words),
            environment=environment,
            number=number,
            grace_seconds=WORKER_GRACE_SECONDS,
        )

    def start_beat(self, environment: Mapping[str, str], *, log_level: str = "info") -> Child:
        """Start beat, which schedules the polls; return at once."""
        command = celery_command("beat", "-l", log_level)
        return self._processes.start("beat", command, environment=environment)

    def start_flower(self, environment: Mapping[str, str], *, port: int = 0) -> str:
        """Start Flower for this machine only, and return its address once it answers.

        Args:
            environment: The workers' environment.
            port: 0 takes 5555, or a free port where 5555 is taken.

        Raises:
            ProcessError: It did not start.
        """
        number = port or (FLOWER_PORT if is_free(FLOWER_PORT) else free_port())
        command = celery_command(
            "flower", f"--address={HOST}", f"--port={number}", "--read-only=True"
        )
        child = self._processes.start("flower", command, environment=environment)
        self._processes.until_ready(child, lambda: is_answering(number))
        return f"http://{HOST}:{number}"


def resolve_paths(processors: Iterable[str]) -> tuple[str, ...]:
    """Return names of modules unchanged, and paths of `.py` files as absolute paths."""
    parts = (split_target(processor.strip()) for processor in processors)
    return tuple(
        (str(Path(name).resolve()) if name.endswith(".py") else name) + (only and f":{only}")
        for name, only in parts
    )


def uncovered_kinds(processors: Sequence[str]) -> tuple[RequestKind, ...]:
    """Return the kinds for which these modules have no processor; () for no modules.

    Raises:
        ClickException: A module can't be imported.
    """
    if not processors:
        return ()
    try:
        covered = {automation.kind for automation in find_automations(processors)}
    except RegistrationError as error:
        raise click.ClickException(str(error).removeprefix("CONNECT_PROCESSORS: ")) from error
    return tuple(kind for kind in RequestKind if kind not in covered)
