"""The whole product as real processes: Redis, sandbox, beat, workers, Flower."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from connect_worker.devtools.embedded_redis import embedded_redis, free_port

from .redis_server import as_user, assert_nothing_denied, is_open

ROOT = Path(__file__).parents[2]
PROCESSORS = "examples.purchases,examples.resellers,examples.usage_reports,examples.usage_reviews"
#: Celery's pools, and how many jobs at once a test gives each.
POOLS = [("prefork", 2), ("threads", 8), ("gevent", 8), ("solo", 1)]
FLOWER_AUTH = ("operator", "a password of the tests")


class Stack:
    """The processes of one deployment; all of them end with the with-block."""

    def __init__(self, directory: Path, redis_url: str, **settings: str) -> None:
        self.directory = directory
        #: As its administrator; the processes use it as a user.
        self.redis_url = redis_url
        #: Where the processes run.
        self.home = ROOT
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("CONNECT_")},
            "CONNECT_PROCESSORS": PROCESSORS,
            "CONNECT_POLL_SECONDS": "1",
            "CONNECT_SWEEP_SECONDS": "0.5",
            "CONNECT_LEASE_SECONDS": "4",
            "CONNECT_RETRY_BASE_SECONDS": "0.5",
            # For the people who read a failed test; what a log file has by itself, its tests say.
            "CONNECT_LOG_FORMAT": "text",
            "FLOWER_BASIC_AUTH": ":".join(FLOWER_AUTH),
            **settings,
        }
        self.environment["CONNECT_REDIS_URL"] = (
            as_user(
                redis_url,
                broker_url=settings.get("CONNECT_BROKER_URL", ""),
                queues=filter(None, settings.get("CONNECT_QUEUES", "").split(",")),
                prefix=settings.get("CONNECT_PREFIX", ""),
            )
            if is_open(redis_url)
            else redis_url
        )
        self.sandbox_url = ""
        self.flower_url = ""
        user, _, password = self.environment["FLOWER_BASIC_AUTH"].partition(":")
        self.flower_auth = (user, password)

    def start_sandbox(self, *options: str) -> None:
        ready = self.directory / "sandbox.json"
        self.start(
            "sandbox",
            *("-m", "connect_worker.sandbox", "--port", "0", "--ready-file", str(ready)),
            *options,
        )
        self.until(ready.is_file, "the sandbox is ready", seconds=60)
        facts = json.loads(ready.read_text())
        self.sandbox_url = facts["url"]
        self.environment |= {
            "CONNECT_API_URL": facts["api_url"],
            "CONNECT_API_KEY": facts["api_key"],
            "VENDOR_URL": f"{facts['url']}/vendor",
        }

    def celery(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `celery -A tasks …` as an operator does."""
        return self.start(name, "-m", "celery", "-A", "tasks", *arguments)

    def worker(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self.celery(name, "worker", "-l", "info", "-n", f"{name}@%h", *arguments)

    def start_flower(self, *options: str) -> None:
        port = free_port()
        self.flower_url = f"http://127.0.0.1:{port}"
        self.celery("flower", "flower", f"--port={port}", "--address=127.0.0.1", *options)
        self.until(self._flower_answers, "Flower answers", seconds=60)

    def flower(self, path: str) -> Any:
        answer = requests.get(f"{self.flower_url}/api/{path}", auth=self.flower_auth, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def report(self, *, summary: bool = False) -> Any:
        url = f"{self.sandbox_url}/sandbox/report"
        return requests.get(url, params={"summary": int(summary)}, timeout=30).json()

    def is_done(self) -> bool:
        """Whether nothing waits in Connect any more and each listing has its report."""
        return not waiting(self.report(summary=True)) and listings_are_reported(self.report())

    def until(self, condition: Callable[[], object], what: str, *, seconds: float) -> None:
        """Wait for a condition; a process that ended meanwhile fails the test with its log."""
        give_up = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < give_up, f"not within {seconds} s: {what}\n{self.logs()}"
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """`kill -9` a process and its children, as the kernel does when memory runs out."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str, lines: int = 40) -> str:
        return "\n".join(self.whole_log(name).splitlines()[-lines:])

    def whole_log(self, name: str) -> str:
        """All that a process has said."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def logs(self) -> str:
        return "\n".join(f"---- {name}\n{self.log(name)}" for name in self.processes)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.home,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an operator's command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "connect_worker", *words],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def answer(self, *words: str, code: int = 0) -> Any:
        """The one document that a command answers with."""
        done = self.run(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert_nothing_denied(self.redis_url)

    def _flower_answers(self) -> bool:
        try:
            return requests.get(self.flower_url, auth=self.flower_auth, timeout=2).ok
        except requests.ConnectionError:
            return False


def waiting(report: Mapping[str, Any]) -> int:
    """Return how many requests and usage files wait in the sandbox."""
    status = {kind: found["status"] for kind, found in report["totals"].items()}
    return sum(
        int(status[kind].get(name, 0))
        for kind, name in (
            ("fulfillment", "pending"),
            ("tier-config", "pending"),
            ("usage-file", "ready"),
            ("usage-file", "draft"),
        )
    )


def listings_are_reported(report: Mapping[str, Any]) -> bool:
    """Whether each listing has a usage file."""
    entries = report["requests"].values()
    return all(entry["usage_files"] for entry in entries if entry["kind"] == "usage")


@contextmanager
def running_stack(directory: Path, **settings: str) -> Iterator[Stack]:
    """A Redis of its own, and no other process yet."""
    with embedded_redis() as redis_url:
        stack = Stack(directory, redis_url, **settings)
        try:
            yield stack
        finally:
            stack.stop()


def assert_each_resolved_once(report: Mapping[str, Any]) -> None:
    """Judge the end of a run by the sandbox's report: as the examples decide, and exactly once."""
    wrong = {
        request_id: entry
        for request_id, entry in report["requests"].items()
        if not _is_right(entry)
    }
    assert not wrong, json.dumps(dict(list(wrong.items())[:3]), indent=1)
    assert report["vendor"]["calls_without_key"] == 0


#: What the examples make of each scenario: the action, the status and the vendor's effects.
EXPECTED = {
    "purchase": ("approve", "approved", 1),
    "missing-email": ("inquire", "inquiring", 0),
    "absurd-quantity": ("fail", "failed", 0),
    "change": ("approve", "approved", 0),
    "cancel": ("approve", "approved", 0),
    "suspend": ("approve", "approved", 0),
    "resume": ("approve", "approved", 0),
    "setup": ("approve", "approved", 0),
    "update": ("approve", "approved", 0),
    "ready": ("submit", "pending", 0),
    # The usage files that the reports created.
    "created": ("submit", "pending", 0),
}


def _is_right(entry: Mapping[str, Any]) -> bool:
    actions = [outcome["action"] for outcome in entry["accepted"]]
    effects, keys = entry["vendor"]["effects"], entry["vendor"]["keys"]
    if entry["refused"] or effects != len(keys):
        return False
    if entry["scenario"] == "listed":
        files = entry["usage_files"]
        return [(f["uploads"], f["records_invalid"]) for f in files] == [(1, 0)]
    if entry["scenario"] == "invalid":
        return actions == []
    action, status, expected_effects = EXPECTED[entry["scenario"]]
    said_once = len({message["text"] for message in entry["messages"]}) == len(entry["messages"])
    return (
        actions == [action]
        and entry["status"] == status
        and effects == expected_effects
        and said_once
    )
