"""The quick start, as a reader types it: the page's own files and commands, in its order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from tests.support.page_blocks import Block, blocks

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PAGE = blocks("docs/quickstart.md")


def only(language: str, begins: str = "") -> Block:
    [found] = [item for item in PAGE if item.language == language and item.text.startswith(begins)]
    return found


class Reader:
    """A shell in an empty folder, which reads one block after the other."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.port = str(free_port())
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("CONNECT_")}
        self.shell = subprocess.Popen(
            ["bash", "-s"],
            cwd=folder,
            env={**kept, "PATH": path, "CONNECT_REDIS_URL": redis_url, "CONNECT_POLL_SECONDS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def here(self, text: str) -> str:
        """The page's port may be somebody's on this machine."""
        return text.replace("8800", self.port)

    def types(self, text: str) -> str:
        """Run commands; return what they print."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{self.here(text)}\necho; echo done: $?\n")
        self.shell.stdin.flush()
        said = ""
        while not (line := self.shell.stdout.readline()).startswith("done: "):
            assert line, f"the shell ended:\n{said}"
            said += line
        assert line == "done: 0\n", said
        return said

    def report(self) -> Any:
        url = f"http://127.0.0.1:{self.port}/sandbox/report"
        return requests.get(url, params={"summary": 1}, timeout=10).json()["totals"]

    def fulfillments(self) -> int:
        return int(self.report()["fulfillment"]["count"])


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with embedded_redis() as url:
        reader = Reader(tmp_path, url)
        try:
            yield reader
        finally:
            # The sandbox, worker and beat are its jobs, and end with it.
            reader.types("kill $(jobs -p); wait; true")
            reader.shell.stdin.close()  # type: ignore[union-attr]  # opened above
            ended = reader.shell.wait(timeout=30)
            reader.shell.stdout.close()  # type: ignore[union-attr]  # opened above
            assert ended == 0


def until(condition: Callable[[], object], what: str, *, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


def answers(reader: Reader) -> bool:
    try:
        return bool(reader.report())
    except requests.ConnectionError:
        return False


def is_decided(reader: Reader) -> bool:
    status = reader.report()["fulfillment"]["status"]
    return set(status) == {"approved", "inquiring"}


def test_the_quick_start_leads_to_decided_requests(reader: Reader) -> None:
    sandbox = only("sh", "connect-worker sandbox").text.replace("sandbox", "sandbox --port 8800", 1)
    reader.types(sandbox)
    until(lambda: answers(reader), "the sandbox answers")
    (reader.folder / "processors.py").write_text(only("python").text)
    (reader.folder / "config.json").write_text(reader.here(only("json").text))

    # Step 3: in one process.
    printed = reader.types(only("sh", "python processors.py").text)
    assert is_decided(reader), printed
    lines, report = printed.splitlines(), json.loads(printed[printed.index("{") :])
    approved = report["totals"]["fulfillment"]["status"]["approved"]
    assert sum(" of " in line for line in lines) == approved
    assert " of " not in reader.types("python processors.py")

    # Step 4: the worker.
    reader.types(only("sh", "curl --silent --request POST").text)
    until(lambda: is_decided(reader), "the worker decides what waits")
    asks = only("sh", "connect-worker status").text
    until(lambda: reader.types(asks).count("PR-") == reader.fulfillments(), "all are listed")
    asked = reader.types(asks)
    assert "All is well" in asked
    item = re.findall(r"PR-[\d-]+", asked)[0]
    assert "completed" in reader.types(f"connect-worker show {item}")

    # Step 5, for an account that is not there: doctor says so, and what to do.
    account = only("sh", "unset").text.replace("connect-worker doctor", "")
    elsewhere = account.replace("https://api.connect.cloudblue.com", "http://127.0.0.1:9")
    reader.types(elsewhere.replace("…", "a-key"))
    assert "CONNECT_API_URL" in reader.types("connect-worker doctor || true")
