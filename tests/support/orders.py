"""What a test orders a processor to do at a named point, through files in a shared folder.

The exact moment of a fault is the processor's: it dies, or waits, where the order says, and not
where a clock of the test's happened to be.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

#: A processor that waits longer has been forgotten by its test.
MOST_SECONDS = 180.0


class Point(StrEnum):
    """Where an order is obeyed."""

    BEFORE_CLAIM = "before-claim"
    INSIDE = "inside"
    AFTER_EFFECT = "after-effect"
    DECIDED = "decided"


class Order(StrEnum):
    """What is done there."""

    KILL_CHILD = "kill-child"
    KILL_WORKER = "kill-worker"
    SEGFAULT = "segfault"
    HOLD = "hold"
    WORK_LONG = "work-long"
    COMPUTE_LONG = "compute-long"
    HOLD_GIL = "hold-gil"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a processor."""

    key: str
    attempt: int
    pid: int
    #: Seconds since the epoch, this machine's clock.
    at: float


@dataclass(frozen=True, slots=True)
class Stay:
    """A time that a run was inside its processor; seconds since the epoch, this machine's clock."""

    begin: float
    end: float


class Orders:
    """Both sides of the shared folder: the test's and the processor's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    # ---- the test

    def give(
        self,
        order: Order,
        point: str,
        request_id: str,
        *,
        always: bool = False,
        seconds: float = 0,
    ) -> None:
        """Order one thing at a point: for the first run that gets there, or for each."""
        text = json.dumps({"order": order, "always": always, "seconds": seconds})
        self._path("order", point, request_id).write_text(text)

    def reached(self, point: str, request_id: str) -> bool:
        """Whether a run got to the point and obeys its order."""
        return self._path("reached", point, request_id).exists()

    def release(self, point: str, request_id: str) -> None:
        """Let the run that is held at the point go on."""
        self._path("released", point, request_id).touch()

    def runs(self, request_id: str) -> list[Run]:
        """Return the runs of the processor for one request, oldest first."""
        path = self._path("runs", "all", request_id)
        lines = path.read_text().splitlines() if path.exists() else []
        return [Run(**json.loads(line)) for line in lines]

    def stays(self) -> list[Stay]:
        """Return when runs were inside their processor, of all requests."""
        lines = [
            line
            for path in self._directory.glob("stays.*")
            for line in path.read_text().splitlines()
        ]
        return [Stay(**json.loads(line)) for line in lines]

    # ---- the processor

    def note_run(self, request_id: str, *, key: str, attempt: int) -> None:
        """Note that the processor was started; the line is written whole or not at all."""
        run = Run(key=key, attempt=attempt, pid=os.getpid(), at=time.time())
        with self._path("runs", "all", request_id).open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    def note_stay(self, request_id: str, *, begin: float, end: float) -> None:
        """Note that a run was inside the processor; one that is killed there notes nothing."""
        with self._path("stays", "all", request_id).open("a") as file:
            file.write(json.dumps(asdict(Stay(begin, end))) + "\n")

    def obey(self, point: str, request_id: str) -> None:
        """Do what was ordered for this point, if anything was."""
        given = self._path("order", point, request_id)
        reached = self._path("reached", point, request_id)
        try:
            order = json.loads(given.read_text())
            if order["always"]:
                reached.touch()
            else:
                # Only one can rename it: the next run finds no order.
                given.rename(reached)
        except FileNotFoundError:
            return
        _carry_out(
            Order(order["order"]), order["seconds"], self._path("released", point, request_id)
        )

    def _path(self, what: str, point: str, request_id: str) -> Path:
        return self._directory / f"{what}.{point}.{request_id}"


def _carry_out(order: Order, seconds: float, released: Path) -> None:
    match order:
        case Order.KILL_CHILD:
            os.kill(os.getpid(), signal.SIGKILL)
        case Order.KILL_WORKER:
            time.sleep(seconds)
            # A worker of the tests leads a process group of its own.
            os.killpg(os.getpgrp(), signal.SIGKILL)
        case Order.SEGFAULT:
            # No core file in anybody's working directory.
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            ctypes.string_at(0)
        case Order.HOLD:
            _await(released)
        case Order.WORK_LONG:
            time.sleep(seconds)
        case Order.COMPUTE_LONG:
            give_up = time.monotonic() + seconds
            while time.monotonic() < give_up:
                pass
        case Order.HOLD_GIL:
            # As an extension that computes: no other thread of the process runs meanwhile.
            ctypes.PyDLL(None).sleep(int(seconds))


def _await(released: Path) -> None:
    give_up = time.monotonic() + MOST_SECONDS
    while not released.exists():
        if time.monotonic() > give_up:
            raise TimeoutError(f"nobody made {released.name}")
        time.sleep(0.02)
