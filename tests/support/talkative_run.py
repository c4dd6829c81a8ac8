"""A whole deployment at its most talkative, with faults, and all that it showed to anybody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests

from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.fault_stack import FaultStack
from tests.support.processors.careless import NEW_PASSWORD
from tests.support.stack import ROOT

API_SECRET = "canary-key-0123456789"
REDIS_PASSWORD = "canary-redis-0123456789"
FLOWER_PASSWORD = "canary-flower-0123456789"
WEBHOOK_SECRET = "canary-webhook-0123456789-0123456789"
CONSOLE_PASSWORD = "canary-console-0123456789"
#: Of the commands only: without it, the tests read what the workers store.
ENCRYPTION_KEY = "canary-encryption-0123456789-0123456789-abc="
CARELESS = ROOT / "tests/support/processors/careless.py"
#: Quotes and a backslash are written differently by every kind of text.
CUSTOMER_PASSWORD = "canary-customer\"s'pass\\word é"

#: Parts that stay as they are, however a text is quoted.
CANARIES = (
    API_SECRET,
    REDIS_PASSWORD,
    FLOWER_PASSWORD,
    WEBHOOK_SECRET,
    CONSOLE_PASSWORD,
    ENCRYPTION_KEY,
    "canary-customer",
    NEW_PASSWORD,
)

WORDS = ("approve", "raise", "inquire", "inquire-changed", "quote")
COMMANDS = (("report",), ("inspect", "conf"), ("inspect", "stats"), ("inspect", "registered"))
FLOWER_PAGES = ("", "workers", "tasks", "broker", "metrics", "worker/{worker}", "task/{task}")
FLOWER_CALLS = (
    "api/workers?refresh=1",
    "api/tasks",
    "api/task/info/{task}",
    "api/task/types",
    "api/queues/length",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run showed, by where."""

    #: Names of requests, by what their processor has to do.
    ids: dict[str, str]
    logs: dict[str, str]
    #: Every command that Redis was sent, with its arguments.
    commands: list[str]
    #: Every key that was there in the end, with its value.
    keys: dict[str, str]
    flower: dict[str, str]
    celery: dict[str, str]
    #: The command lines, and so the titles, of all processes.
    processes: list[str]
    #: What the operator's commands print, on both streams.
    operator: dict[str, str]
    #: What Connect shows of each request in the end, and what happened to it.
    documents: dict[str, Any]
    entries: dict[str, Any]


class Monitor(threading.Thread):
    """Writes down every command that a Redis gets; the server itself hides passwords of AUTH."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.commands: list[str] = []
        # It may be silent for long: a timeout would end it.
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._began = threading.Event()
        self.start()
        assert self._began.wait(20)

    def run(self) -> None:
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py's
            self._began.set()
            # Ends with the server's end of the connection.
            try:
                for command in monitor.listen():
                    self.commands.append(str(command["command"]))
            except redis.ConnectionError:
                return


@contextmanager
def protected_redis() -> Iterator[str]:
    """A Redis with a password."""
    with embedded_redis() as url:
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", REDIS_PASSWORD)
        yield url.replace("redis://", f"redis://:{REDIS_PASSWORD}@")


def seed(stack: FaultStack) -> dict[str, str]:
    """Have a customer order once for each word, with a password."""
    stack.seed("--api-key", f"SU-000-000-001:{API_SECRET}")
    return {word: order(stack, word) for word in WORDS}


def order(stack: FaultStack, word: str) -> str:
    params = [
        {"id": "password", "type": "password", "value": CUSTOMER_PASSWORD, "value_error": ""},
        {"id": "what", "type": "text", "value": word, "value_error": ""},
    ]
    [request_id] = stack.control("POST", "requests", {"body": {"asset": {"params": params}}})["ids"]
    return str(request_id)


def provoke(stack: FaultStack, ids: dict[str, str]) -> None:
    """Put in force all the ways in which Connect repeats what it was sent."""
    approve, inquire = ids["approve"], ids["inquire"]
    stack.misbehave("echo", method="GET", path="requests$", status=400)
    stack.misbehave("echo", method="GET", path="requests$", status=401)
    stack.misbehave("broken_json", method="GET", path="requests$", commit=True)
    stack.misbehave("broken_json", method="GET", request_id=approve, commit=True)
    stack.misbehave("echo", method="GET", request_id=approve, status=403)
    stack.misbehave("echo", method="POST", request_id=approve, status=500)
    # The decision is stored by then; what the second PUT says comes from the ledger.
    stack.misbehave("echo", method="PUT", request_id=inquire, status=500)
    stack.misbehave("reset_after", method="POST", request_id=ids["inquire-changed"])


def is_over(stack: FaultStack, ids: dict[str, str]) -> bool:
    """Whether each request came to the end that its processor's words lead to."""
    inquired = dict.fromkeys(("inquire", "inquire-changed", "quote"), "inquiring")
    ended = {"approve": "approved", **inquired}
    parked = stack.ledger().get_record(RequestKey(RequestKind.FULFILLMENT, ids["raise"]))
    return (
        parked is not None
        and parked.state is State.PARKED
        and all(stack.entry(ids[word])["status"] == status for word, status in ended.items())
        and stack.is_idle()
    )


def document(stack: FaultStack, request_id: str) -> Any:
    """Read a request as Connect shows it."""
    url = f"{stack.environment['CONNECT_API_URL']}/requests/{request_id}"
    key = stack.environment["CONNECT_API_KEY"]
    return requests.get(url, headers={"Authorization": f"ApiKey {key}"}, timeout=20).json()


def dump(url: str) -> dict[str, str]:
    """Read every key of a Redis, whatever its type."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {key: _value(client, key) for key in client.scan_iter()}


def _value(client: redis.Redis, key: str) -> str:
    readers: dict[str, Any] = {
        "string": lambda: client.get(key),
        "hash": lambda: client.hgetall(key),
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: client.smembers(key),
        "zset": lambda: client.zrange(key, 0, -1, withscores=True),
        "none": lambda: "",
    }
    return str(readers[str(client.type(key))]())


def flower_shows(stack: FaultStack, ids: dict[str, str]) -> dict[str, str]:
    """Every page and every answer of Flower's that a person can look at."""
    auth = stack.flower_auth
    tasks = requests.get(f"{stack.flower_url}/api/tasks", auth=auth, timeout=20).json()
    raised = next(name for name in tasks if name.startswith(ids["raise"]))
    names = {"task": raised, "worker": tasks[raised]["worker"]}
    shown = {}
    for path in (*FLOWER_PAGES, *FLOWER_CALLS):
        url = f"{stack.flower_url}/{path.format(**names)}"
        answer = requests.get(url, auth=auth, timeout=20)
        assert answer.ok, f"{url} answered {answer.status_code}"
        shown[path] = answer.text
    assert re.search("RuntimeError", shown["api/tasks"])
    return shown


def celery_says(stack: FaultStack) -> dict[str, str]:
    """What Celery's own commands print of a running deployment."""
    said = {}
    for words in COMMANDS:
        name = "-".join(words)
        assert stack.celery(name, *words).wait(timeout=60) == 0, stack.log(name)
        del stack.processes[name]
        said[name] = stack.whole_log(name)
    return said


def operator_reads(stack: FaultStack, ids: dict[str, str]) -> dict[str, str]:
    """What commands that read the ledger print of a running deployment."""
    commands = [
        ("list", "--state", "all"),
        ("show", ids["raise"]),
        ("show", ids["quote"], "--json"),
    ]
    return {" ".join(words): read(stack, *words) for words in commands}


def read(stack: FaultStack, *words: str, **variables: str) -> str:
    """Run a command as a process, with all secrets; what it prints on both streams.

    The workers stored without a key, so that the ledger and the broker can be searched.
    """
    done = subprocess.run(
        [sys.executable, "-m", "connect_worker", *words],
        cwd=ROOT,
        env={**stack.environment, "CONNECT_ENCRYPTION_KEY": f"{ENCRYPTION_KEY},plain", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    encoding = variables.get("PYTHONIOENCODING", "utf-8")
    return done.stdout.decode("utf-8" if encoding == "ascii" else encoding)


def command_lines(stack: FaultStack) -> list[str]:
    """Return the command line of each process of the deployment, children included."""
    groups = {process.pid for process in stack.processes.values()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at.
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(folder.name)) in groups:
                found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
    assert len(found) > len(groups)
    return found


@contextmanager
def talkative_run(directory: Path) -> Iterator[tuple[FaultStack, Shown]]:
    """Run it from the first poll to the last decision; it goes on until the block ends."""
    with protected_redis() as url:
        settings = {
            "CONNECT_PROCESSORS": str(CARELESS),
            "CONNECT_LOG_FORMAT": "json",
            "CONNECT_MAX_ATTEMPTS": "2",
            "CONNECT_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "CONNECT_CONSOLE_PASSWORD": CONSOLE_PASSWORD,
            "FLOWER_BASIC_AUTH": f"operator:{FLOWER_PASSWORD}",
            # Of the tests only: it would be a line that is no JSON.
            "PYTHONWARNINGS": "ignore",
        }
        stack = FaultStack(directory, url, **settings)
        try:
            yield stack, _run(stack, Monitor(url))
        finally:
            stack.stop()


def _run(stack: FaultStack, monitor: Monitor) -> Shown:
    ids = seed(stack)
    provoke(stack, ids)
    stack.start_flower("--logging=debug")
    stack.celery("worker", "--quiet", "worker", "-l", "debug", "-n", "worker@%h", "-c", "2")
    stack.celery("beat", "--quiet", "beat", "-l", "debug")
    stack.until_soon(lambda: is_over(stack, ids), "each request came to its end")
    stack.until_polled_again()
    flower, celery = flower_shows(stack, ids), celery_says(stack)
    return Shown(
        ids=ids,
        logs={name: stack.whole_log(name) for name in ("worker", "beat", "flower")},
        commands=list(monitor.commands),
        keys=dump(stack.redis_url),
        flower=flower,
        celery=celery,
        processes=command_lines(stack),
        operator=operator_reads(stack, ids),
        documents={word: document(stack, request_id) for word, request_id in ids.items()},
        entries={word: stack.entry(request_id) for word, request_id in ids.items()},
    )
