"""The stack: Redis, the sandbox, workers, beat and Flower, for `demo`, `dev` and the test kit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from connect_worker.devtools.embedded_redis import (
    HOST,
    free_port,
    is_answering,
    is_free,
    start_server,
)
from connect_worker.devtools.environment import (
    SandboxAddress,
    SandboxOptions,
    base_environment,
    celery_command,
    find_root,
    read_address,
    sandbox_command,
)
from connect_worker.devtools.processes import Child, Processes
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.discovery import find_automations, split_target

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
