"""Where a worker's log goes decides how it looks; a broker's password is in neither."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import free_port
from connect_worker.observability.output import EXIT_CONFIGURATION
from tests.support.sandbox_server import running_sandbox
from tests.support.stack import POOLS, ROOT, Stack, running_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

SECRET = "canary-broker-0123456789"
ACCOUNT = {
    "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
    "CONNECT_API_KEY": "SU-000-000-001:a-key-of-the-tests",
    "PYTHONWARNINGS": "ignore",
}


@contextmanager
def on_a_terminal(stack: Stack, *arguments: str) -> Iterator[list[str]]:
    """Run a command of Celery's on a terminal; what it shows there, line by line."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", *arguments],
        cwd=ROOT,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown: list[str] = []

    reader = threading.Thread(target=_collect, args=(ours, shown), daemon=True)
    reader.start()
    try:
        yield shown
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join(timeout=10)


def _collect(descriptor: int, shown: list[str]) -> None:
    # Linux ends a terminal whose other side is closed with an error.
    with os.fdopen(descriptor, errors="replace") as terminal:
        try:
            shown.extend(terminal)
        except OSError:
            return


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_a_person_at_a_terminal_reads_text(role: str, tmp_path: Path) -> None:
    with running_stack(tmp_path, **ACCOUNT, CONNECT_LOG_FORMAT="auto") as stack:
        pool = ("--pool", "solo") if role == "worker" else ()
        with on_a_terminal(stack, "--quiet", role, "-l", "info", *pool) as shown:
            said = "ready." if role == "worker" else "beat: Starting..."
            stack.until(lambda: any(said in line for line in shown), said, seconds=60)
        assert any(" INFO " in line and said in line for line in shown)
        assert not any(line.startswith("{") for line in shown)


def test_a_file_gets_json_and_no_password_of_an_amqp_broker(tmp_path: Path) -> None:
    broker = f"amqp://worker:{SECRET}@127.0.0.1:{free_port()}//"
    settings = {**ACCOUNT, "CONNECT_LOG_FORMAT": "auto", "CONNECT_BROKER_URL": broker}
    with running_stack(tmp_path, **settings) as stack:
        stack.celery("worker", "--quiet", "worker", "-l", "debug", "--pool", "solo")
        stack.celery("beat", "--quiet", "beat", "-l", "debug")
        names = ("worker", "beat")
        stack.until(
            lambda: "again in" in stack.log("worker") and "retry_in" in stack.log("beat"),
            "both wait for their broker",
            seconds=60,
        )
        for name in names:
            text = (tmp_path / f"{name}.log").read_text()
            assert SECRET not in text
            assert all(json.loads(line)["event"] for line in text.splitlines())


#: What a vendor's module may do beside logging, in the worker and in each process of its pool.
NOISE = """
import os, sys, threading, warnings
from connect_worker.resources import FulfillmentAutomation

class Orders(FulfillmentAutomation):
    def process_request(self, request):
        pass

def fail(where):
    raise RuntimeError(f"a failure in {where}")

def make_noise(where):
    print("printed in", where)
    print("no line break in", where, end="", file=sys.stderr, flush=True)
    sys.stdout.buffer.write(f"bytes in {where}\\n".encode())
    warnings.warn(f"a warning in {where}")
    thread = threading.Thread(target=fail, args=[f"a thread of {where}"])
    thread.start()
    thread.join()
    if "gevent" in sys.modules:
        import gevent
        gevent.spawn(fail, f"a greenlet of {where}").join()

make_noise("main")
os.register_at_fork(after_in_child=lambda: make_noise("child"))
"""
#: What it says.
NOISES = ["printed in", "no line break in", "bytes in", "a warning in", "a failure in a thread of"]


def events(text: str) -> list[str]:
    """The events of a log in which each line is an object."""
    return [str(json.loads(line)["event"]) for line in text.splitlines()]


@pytest.mark.parametrize(("stop", "how"), [(signal.SIGTERM, "Warm"), (signal.SIGQUIT, "Cold")])
@pytest.mark.parametrize(("pool", "size"), POOLS)
def test_each_line_of_a_worker_is_json(
    pool: str, size: int, stop: signal.Signals, how: str, tmp_path: Path
) -> None:
    (tmp_path / "noise.py").write_text(NOISE)
    settings = {**ACCOUNT, "PYTHONWARNINGS": "always", "PYTHONPATH": str(tmp_path)}
    settings |= {"CONNECT_PROCESSORS": "noise", "CONNECT_LOG_FORMAT": "json"}
    with running_stack(tmp_path, **settings) as stack:
        worker = stack.celery("worker", "worker", "-l", "info", "-P", pool, "-c", str(size))
        stack.until(lambda: " ready." in stack.log("worker"), "it is ready", seconds=60)
        places = ["main"]
        if pool == "prefork":
            places.append("child")
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)
            died = "exited with 'signal 9 (SIGKILL)'"
            stack.until(lambda: died in stack.log("worker"), "a child's death", seconds=60)
        worker.send_signal(stop)
        worker.wait(timeout=60)
        said = "\n".join(events(stack.whole_log("worker")))
        del stack.processes["worker"]
    assert f"worker: {how} shutdown (MainProcess)" in said
    noises = [*NOISES, "a failure in a greenlet of"] if pool == "gevent" else NOISES
    expected = [f"{noise} {place}" for noise in noises[:4] for place in places]
    assert [text for text in expected if text not in said] == []
    failures = re.findall(r"RuntimeError: (.+? of \w+)", stack.whole_log("worker"))
    assert set(failures) >= {f"{noise} {place}" for noise in noises[4:] for place in places}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("celery", "-A", "tasks", "beat", "-l", "info"), "beat: Starting..."),
        (("celery", "-A", "tasks", "flower", "--port=0"), "Visit me at"),
        *(
            (("connect_worker", *words, "--port", "0"), " at http://127.0.0.1:")
            for words in (["console"], ["metrics"], ["webhook", "serve"])
        ),
    ],
    ids=["beat", "flower", "console", "metrics", "webhook"],
)
def test_each_line_of_the_other_processes_is_json(
    command: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    secret = "whsec-0123456789012345678901234567890123456789"
    settings = {"CONNECT_LOG_FORMAT": "json", "CONNECT_WEBHOOK_SECRET": secret}
    with running_stack(tmp_path, **ACCOUNT, **settings) as stack:
        process = stack.start("one", "-m", *command)
        stack.until(lambda: said in stack.log("one"), "it has started", seconds=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert any(said in event for event in events(stack.whole_log("one")))
        del stack.processes["one"]


def test_a_start_that_is_refused_is_a_line_of_json(tmp_path: Path) -> None:
    settings = {"CONNECT_LOG_FORMAT": "json", "CONNECT_PROCESSORS": "there_is_no_such_module"}
    with running_stack(tmp_path, **ACCOUNT | settings, FLOWER_ADDRESS="0.0.0.0") as stack:
        stack.environment["FLOWER_BASIC_AUTH"] = ""
        for role, said in (("worker", "there_is_no_such_module"), ("flower", "does not start")):
            assert stack.celery(role, role).wait(timeout=60) == EXIT_CONFIGURATION
            assert said in events(stack.whole_log(role))[-1]
            del stack.processes[role]


SCRIPT = """
import os, sys
from connect_worker.config import Config
from connect_worker.resources import FulfillmentAutomation

class Orders(FulfillmentAutomation):
    def process_request(self, request):
        password = request.asset.get_param_by_id("password").value
        self.logger.warning("logging in with %s", password)
        raise RuntimeError(f"refused {password} \\x1b[2J\\n2026-01-01 00:00:00,000 INFO forged")

Orders(Config(os.environ["URL"], os.environ["KEY"])).process()
raise RuntimeError(f"the end \\x1b[2J of {os.environ}")
"""


@pytest.mark.parametrize("module", [(), ("-m", "connect_worker.compat")], ids=["python", "compat"])
def test_a_script_without_a_worker_shows_no_secret(module: tuple[str, ...], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    password = {"id": "password", "type": "password", "value": SECRET, "value_error": ""}
    with running_sandbox("--requests", "0") as sandbox:
        sandbox.control("POST", "requests", {"body": {"asset": {"params": [password]}}})
        done = subprocess.run(
            [sys.executable, *module, str(script)],
            env={**os.environ, "URL": f"{sandbox.root}/public/v1", "KEY": sandbox.key},
            capture_output=True,
            text=True,
            timeout=60,
        )
    logged, _, crashed = done.stderr.partition("\nTraceback (most recent call last):")
    assert SECRET not in done.stderr
    assert "logging in with ***" in logged
    assert "  RuntimeError: refused ***" in logged
    assert "the end" in crashed
    assert all(line.isprintable() for line in logged.split("\n"))
    assert not [line for line in done.stderr.splitlines() if line.startswith("2026-01-01")]
    if module:
        # Python itself shows how a script without it ended.
        assert "\x1b" not in crashed
        assert sandbox.key not in crashed


def test_the_banner_of_a_worker_hides_the_password(tmp_path: Path) -> None:
    broker = f"amqp://worker:{SECRET}@127.0.0.1:{free_port()}//"
    with running_stack(tmp_path, **ACCOUNT, CONNECT_BROKER_URL=broker) as stack:
        stack.worker("worker", "--pool", "solo")
        stack.until(lambda: "again in" in stack.log("worker"), "it waits", seconds=60)
        assert "amqp://worker:**@127.0.0.1" in stack.log("worker", lines=200)
        assert SECRET not in stack.log("worker", lines=200)
