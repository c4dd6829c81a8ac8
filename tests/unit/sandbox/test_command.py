"""``python -m connect_worker.sandbox`` as a person or a script meets it."""

import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest
import requests

from connect_worker.sandbox.memory import Spread, spread_over
from tests.support.sandbox_server import running_sandbox

COMMAND = [sys.executable, "-m", "connect_worker.sandbox"]


def test_it_says_where_it_listens_and_with_which_key(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    with running_sandbox("--requests", "4", "--ready-file", str(ready_file)) as client:
        health = client.control("GET", "health")
        ready = json.loads(ready_file.read_text())
    assert stat.S_IMODE(ready_file.stat().st_mode) == 0o600
    assert health["requests"] == {
        "fulfillment": 1,
        "tier-config": 1,
        "usage-file": 1,
        "usage": 1,
    }
    assert (ready["url"], ready["api_key"]) == (client.root, client.key)
    assert ready["api_url"] == f"{client.root}/public/v1"
    assert len(ready["products"]) == 3
    assert ready["pid"]


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_one_sentence() -> None:
    with taken_port() as port:
        finished = subprocess.run(
            [*COMMAND, "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in finished.stderr


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT])
def test_it_stops_at_once_even_with_a_hanging_call(signal: Signals) -> None:
    command = [*COMMAND, "--port", "0", "--requests", "4"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        root = process.stdout.readline().split()[4]
        requests.post(f"{root}/sandbox/faults", json={"action": "hang"}, timeout=10)
        cut_off: list[type[Exception]] = []

        def ask() -> None:
            try:
                requests.get(f"{root}/vendor/tenants", timeout=20)
            except requests.RequestException as error:
                cut_off.append(type(error))

        asking = threading.Thread(target=ask)
        asking.start()
        while not requests.get(f"{root}/sandbox/faults", timeout=10).json()[0]["hits"]:
            pass
        process.send_signal(signal)
        assert process.wait(timeout=10) == 0
        asking.join(timeout=10)
        assert process.stderr.read() == ""
    assert cut_off == [requests.ConnectionError]


def test_equal_seeds_give_equal_requests_and_others_do_not() -> None:
    def documents(seed: str) -> object:
        with running_sandbox("--requests", "40", "--seed", seed) as client:
            return [
                client.get(path, "limit=100")
                for path in ("requests", "tier/config-requests", "usage/files", "listings")
            ]

    assert documents("7") == documents("7")
    assert documents("7") != documents("8")


def test_latency_is_added_to_every_answer() -> None:
    with running_sandbox("--requests", "4", "--latency-ms", "120") as client:
        assert client.call("GET", "requests").elapsed.total_seconds() >= 0.12


def test_uploads_can_be_answered_with_200() -> None:
    from .workbooks import RECORD, workbook

    options = ("--requests", "4", "--upload-status", "200", "--products", "1")
    with running_sandbox(*options) as client:
        file_id = client.with_scenario("ready")
        answer = client.call("POST", f"usage/files/{file_id}/upload", upload=workbook([RECORD]))
        assert answer.status_code == 200
        assert len(client.get("products")) == 1


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (300, Spread(fulfillment=180, tier_config=45, usage_files=45, listings=30)),
        (4, Spread(fulfillment=1, tier_config=1, usage_files=1, listings=1)),
        (1, Spread(fulfillment=1, tier_config=0, usage_files=0, listings=0)),
        (0, Spread(fulfillment=0, tier_config=0, usage_files=0, listings=0)),
    ],
)
def test_requests_are_spread_over_the_kinds(total: int, expected: Spread) -> None:
    assert spread_over(total) == expected


def test_a_kind_keeps_the_number_it_is_given() -> None:
    assert spread_over(100, fulfillment=5, listings=0) == Spread(5, 15, 15, 0)


def test_the_options_are_explained() -> None:
    finished = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    for option in ("--requests", "--seed", "--answer-inquiries", "--provider-key", "--ready-file"):
        assert option in finished.stdout
