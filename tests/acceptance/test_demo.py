"""The demo as a whole: real processes, and none of them left."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.demo_process import FOREIGN, DemoProcess, await_that

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

Start = Callable[..., DemoProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[DemoProcess] = []

    def begin(*arguments: str, **options: object) -> DemoProcess:
        started.append(DemoProcess(tmp_path, arguments, **options))  # type: ignore[arg-type]  # as given
        return started[-1]

    yield begin
    for demo in started:
        demo.kill_all()


def test_ends_by_itself_when_every_request_is_resolved_once(start: Start) -> None:
    demo = start("--exit-when-done", "--requests", "24", environment=FOREIGN)

    output = demo.finish(90)

    assert demo.process.returncode == 0, output
    assert "Every request was decided exactly once, the sandbox reports: 26 in" in output
    assert "approve 12  fail 2  inquire 2" in output
    assert demo.alive() == {}


@pytest.mark.long
def test_says_what_was_left_when_the_time_limit_is_over(start: Start, tmp_path: Path) -> None:
    limits = ("--timeout", "1", "--requests", "300", "--latency-ms", "200")

    demo = start("--exit-when-done", *limits)
    output = demo.finish(90)

    assert demo.process.returncode == 1, output
    assert "The time limit of 1 seconds is over." in output
    assert "no decision, its status is pending" in output
    assert f"The logs are in {tmp_path}" in output
    assert (tmp_path / "worker-1.log").is_file()
    assert demo.alive() == {}


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM]
)
def test_stops_everything_on_a_signal(start: Start, number: signal.Signals) -> None:
    demo = start("--requests", "600", "--workers", "2", "--latency-ms", "20")
    demo.read_until(r"completed [1-9]")
    # The demo, its watchdog, Redis, sandbox, Flower, beat, and two workers with two children each.
    assert await_that(lambda: len(demo.alive()) == 12), demo.alive()

    demo.process.send_signal(number)

    assert "no process is left" in demo.finish()
    assert demo.process.returncode == 0
    assert demo.alive() == {}


def test_leaves_nothing_behind_when_it_is_killed_while_it_starts(start: Start) -> None:
    demo = start("--requests", "24")
    assert await_that(lambda: any("celery" in command for command in demo.alive().values()), 30)

    demo.process.kill()

    assert await_that(lambda: demo.alive() == {}), demo.alive()


@pytest.mark.long
def test_leaves_the_terminal_as_it_was(start: Start) -> None:
    terminal, slave = pty.openpty()
    demo = start("--requests", "24", stdout=slave, environment={"TERM": "xterm"})
    os.close(slave)
    shown = _read_until(terminal, b"Ctrl-C stops everything")

    demo.process.send_signal(signal.SIGINT)
    shown += _read_until(terminal, b"no process is left")

    assert demo.process.wait(timeout=30) == 0
    os.close(terminal)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor is hidden"


@pytest.mark.long
def test_names_the_process_that_ended_and_shows_its_log(start: Start, tmp_path: Path) -> None:
    demo = start("--requests", "24")
    demo.read_until("completed")
    beat = next(pid for pid, command in demo.alive().items() if " beat " in command)

    os.kill(beat, signal.SIGKILL)
    output = demo.finish()

    assert demo.process.returncode == 1
    assert (
        f"Error: The beat ended unexpectedly (signal 9); the end of its log, {tmp_path}" in output
    )
    assert demo.alive() == {}


def _read_until(terminal: int, text: bytes) -> bytes:
    read = b""
    while text not in read:
        try:
            read += os.read(terminal, 65536)
        except OSError:
            # How Linux tells that nobody has the terminal any more.
            pytest.fail(f"it ended with {read.decode()[-500:]}")
    return read
