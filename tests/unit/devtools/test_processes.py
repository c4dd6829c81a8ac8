from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from connect_worker.devtools.processes import (
    Interrupted,
    ProcessError,
    Processes,
    StopSignals,
    until,
)
from connect_worker.devtools.watchdog import groups_left

#: Says so in a file and ends when asked to.
POLITE = """
import signal, sys, time
def end(*_):
    open("order", "a").write(sys.argv[1] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True: time.sleep(1)
"""
#: Has a child, and neither listens to SIGTERM.
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print(os.getpid(), flush=True)
while True: time.sleep(1)
"""


def is_gone(pid: int) -> bool:
    """Whether no process has the id, or only one that has ended and waits to be reaped."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def lines_of(log: Path, count: int) -> list[str]:
    give_up = time.monotonic() + 10
    while len(lines := log.read_text().split()) < count:
        assert time.monotonic() < give_up, f"only {lines} in {log}"
        time.sleep(0.01)
    return lines


def test_the_last_started_ends_first_and_children_of_a_role_together(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        for role, number in [("first", None), ("worker", 1), ("worker", 2), ("last", None)]:
            name = f"{role}{number or ''}"
            command = [sys.executable, "-c", POLITE, name]
            child = processes.start(role, command, environment={}, number=number)
            lines_of(child.log, 1)

    ended = (tmp_path / "order").read_text().split()
    assert (ended[0], sorted(ended[1:3]), ended[3]) == ("last", ["worker1", "worker2"], "first")
    assert {path.name for path in tmp_path.glob("*.log")} == {
        *("first.log", "worker-1.log", "worker-2.log", "last.log")
    }


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
@pytest.mark.parametrize(("grace_seconds", "in_hurry"), [(0.1, False), (60, True)])
def test_what_does_not_end_is_killed_with_its_children(
    tmp_path: Path, grace_seconds: float, in_hurry: bool
) -> None:
    with Processes(tmp_path, in_hurry=lambda: in_hurry) as processes:
        child = processes.start(
            "deaf", [sys.executable, "-c", DEAF], environment={}, grace_seconds=grace_seconds
        )
        pids = [int(pid) for pid in lines_of(child.log, 2)]

    assert child.status == -signal.SIGKILL
    # A killed child is its parent's to reap, or init's: the kernel takes a moment for it.
    give_up = time.monotonic() + 10
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < give_up, f"{pids} live on"
        time.sleep(0.01)


def test_the_watchdog_is_left_with_the_groups_that_did_not_end() -> None:
    assert groups_left(["+10\n", "+11\n", "-10\n", "+12\n"]) == [11, 12]
    assert groups_left(["+10\n", "-10\n", "-10\n"]) == []


def test_a_signal_ends_a_wait_and_stays_noted() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        started = time.monotonic()
        signals.wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            signals.wait(30)
        with pytest.raises(Interrupted):
            signals.check()

    assert time.monotonic() - started < 10
    assert (signals.first, signals.count) == (signal.SIGTERM, 1)
    assert signal.getsignal(signal.SIGTERM) == former


def test_until_returns_the_value_and_raises_what_the_caller_says() -> None:
    values = iter([0, 0, 7])

    assert until(lambda: next(values), seconds=10, otherwise=AssertionError) == 7
    with pytest.raises(KeyError, match="late"):
        until(lambda: None, seconds=0.01, otherwise=lambda: KeyError("late"))


def test_a_process_that_ends_while_it_starts_is_an_error_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        command = [sys.executable, "-c", "print('no port'); raise SystemExit(3)"]
        child = processes.start("server", command, environment={})
        with pytest.raises(ProcessError) as raised:
            processes.until_ready(child, lambda: False)

    assert str(raised.value) == (
        f"The server ended unexpectedly (exit status 3); the end of its log, {child.log}:\nno port"
    )


def test_only_its_owner_reads_a_log_and_an_error_shows_no_secret_of_it(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("of an earlier run, for all to read")
    said = r"print('ApiKey SU-123-456-789:canary \x1b[2J\u202e', flush=True); raise SystemExit(3)"
    with Processes(tmp_path) as processes:
        child = processes.start(
            "server", [sys.executable, "-X", "utf8", "-c", said], environment={}
        )
        assert stat.S_IMODE(child.log.stat().st_mode) == 0o600
        with pytest.raises(ProcessError) as raised:
            processes.until_ready(child, lambda: False)
    assert str(raised.value).endswith("\nApiKey *** \\x1b[2J\\u202e")


def test_a_process_that_does_not_answer_is_an_error_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("server", [sys.executable, "-c", POLITE, "x"], environment={})
        lines_of(child.log, 1)
        with pytest.raises(ProcessError, match=r"The server did not answer for 0 seconds; .*\nup"):
            processes.until_ready(child, lambda: False, seconds=0.1)


def test_only_processes_of_the_role_that_may_end_are_returned(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        worker = processes.start("worker", [sys.executable, "-c", ""], environment={}, number=1)
        worker.process.wait()
        assert processes.require_running(may_end="worker") == [worker]
        beat = processes.start("beat", [sys.executable, "-c", ""], environment={})
        beat.process.wait()
        with pytest.raises(ProcessError, match="The beat ended unexpectedly"):
            processes.require_running(may_end="worker")
