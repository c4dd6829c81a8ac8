"""Sets the demo up: its processes, each started when those it needs answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from connect_worker.devtools.embedded_redis import (
    HOST,
    NoServer,
    answers_ping,
    find_server,
    free_port,
    is_answering,
    is_free,
    server_command,
)
from connect_worker.devtools.environment import (
    PROCESSORS,
    Ready,
    base_environment,
    celery_command,
    find_root,
    flower_command,
    kinds_without,
    read_ready,
    sandbox_command,
    worker_command,
    worker_environment,
)
from connect_worker.devtools.processes import Child, Processes, StopSignals

START_SECONDS = 60.0
FLOWER_PORT = 5555
#: A worker ends its running jobs first.
WORKER_GRACE_SECONDS = 10.0

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user chooses; ports: 0 takes a free one."""

    requests: int = 200
    workers: int = 1
    concurrency: int = 2
    flower_port: int = 0
    redis_port: int = 0
    sandbox_port: int = 0
    seed: int = 1
    latency_ms: float = 0.0
    #: Modules or `.py` paths; none: the project's examples.
    processors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where everything is, once it runs."""

    ready: Ready
    redis_url: str
    flower_url: str


def require_ports(wishes: DemoOptions) -> None:
    """Refuse a port that the user named and another program uses.

    Raises:
        ClickException: Names the port and the option.
    """
    named = {
        "--flower-port": wishes.flower_port,
        "--redis-port": wishes.redis_port,
        "--sandbox-port": wishes.sandbox_port,
    }
    for option, port in named.items():
        if port and not is_free(port):
            raise click.ClickException(
                f"Port {port} is taken by another program: give {option} another one, or leave "
                "it out and a free one is found."
            )


def set_up(
    wishes: DemoOptions,
    *,
    processes: Processes,
    signals: StopSignals,
    find_redis: Callable[[], Path] = find_server,
) -> RunningStack:
    """Start everything and return when it works; what was started stays when it does not.

    Raises:
        ClickException: Something did not start; one sentence and the end of its log.
        Interrupted: A signal came meanwhile.
    """
    # The user's modules are where the command is given.
    folders = [Path.cwd()] if wishes.processors else []
    base = base_environment(find_root(), processes.directory, *folders)
    try:
        program = find_redis()
    except NoServer as error:
        raise click.ClickException(str(error)) from error
    start = _Start(wishes, processes, signals)
    redis_url, ready = start.servers(program, base)
    environment = worker_environment(
        base,
        redis_url=redis_url,
        ready=ready,
        processors=wishes.processors or PROCESSORS,
    )
    return RunningStack(ready, redis_url, start.celery(environment))


def require_alive(processes: Processes) -> list[Child]:
    """Return the workers that are gone, as long as another one works.

    Raises:
        ClickException: Something else is gone, or the last worker.
    """
    ended = [child for child in processes.children if child.status is not None]
    workers = [child for child in processes.children if child.role == "worker"]
    lost = [child for child in ended if child.role == "worker"]
    for child in ended:
        if child.role != "worker" or len(lost) == len(workers):
            raise click.ClickException(
                f"The {child.name} ended by itself ({_manner(child)}); the end of its log, "
                f"{child.log}:\n{child.last_lines}"
            )
    return lost


@dataclass(frozen=True, slots=True)
class _Start:
    """Starts one process after the other, and looks after those that run already."""

    wishes: DemoOptions
    processes: Processes
    signals: StopSignals

    def servers(self, program: Path, base: Mapping[str, str]) -> tuple[str, Ready]:
        """Start what the others talk to; return Redis's URL and where the sandbox is."""
        port = self.wishes.redis_port or free_port()
        command = server_command(program, port=port, directory=self.processes.directory)
        ready_file = self.processes.directory / "sandbox.json"
        ready_file.unlink(missing_ok=True)
        redis = self.processes.start("redis", command, environment=base)
        sandbox = self.processes.start(
            "sandbox", _sandbox_command(self.wishes, ready_file), environment=base
        )
        self._await(redis, lambda: answers_ping(port))
        self._await(sandbox, ready_file.exists)
        return f"redis://{HOST}:{port}/0", read_ready(ready_file)

    def celery(self, environment: Mapping[str, str]) -> str:
        """Start Flower, the workers, and at last beat; return Flower's address."""
        port = self.wishes.flower_port or (FLOWER_PORT if is_free(FLOWER_PORT) else free_port())
        flower = self.processes.start("flower", flower_command(port), environment=environment)
        for number in range(1, self.wishes.workers + 1):
            self.processes.start(
                "worker",
                worker_command(number=number, concurrency=self.wishes.concurrency),
                environment=environment,
                number=number,
                grace_seconds=WORKER_GRACE_SECONDS,
            )
        # Flower shows the events that it hears: nothing is polled before it listens.
        self._await(flower, lambda: is_answering(port))
        beat = celery_command("beat", "-l", "info")
        self.processes.start("beat", beat, environment=environment)
        return f"http://{HOST}:{port}"

    def _await(self, child: Child, works: Callable[[], bool]) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not works():
            require_alive(self.processes)
            if time.monotonic() > give_up:
                raise click.ClickException(
                    f"The {child.name} did not answer for {START_SECONDS:.0f} seconds; the end "
                    f"of its log, {child.log}:\n{child.last_lines}"
                )
            self.signals.wait(_POLL_SECONDS)


def _manner(child: Child) -> str:
    status = child.status or 0
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _sandbox_command(wishes: DemoOptions, ready_file: Path) -> list[str]:
    return sandbox_command(
        port=wishes.sandbox_port,
        requests=wishes.requests,
        seed=wishes.seed,
        latency_ms=wishes.latency_ms,
        ready_file=ready_file,
        without=kinds_without(wishes.processors),
    )
