"""The benchmark's stand-in for Connect counts calls and reports duplicates."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connect_worker.api import Client

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stand-in, a process of its own."""
    ready = tmp_path_factory.mktemp("standin") / "standin.url"
    command = [sys.executable, "-m", "bench.standin", "--ready-file", str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield ready.read_text()
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.fixture
def client(url: str) -> Client:
    requests.get(f"{url}/bench/reset?count=3&latency_ms=0&conversations=1", timeout=10)
    return Client(f"{url}/public/v1", "ApiKey SU-1:key")


def report(url: str) -> Any:
    return requests.get(f"{url}/bench/report", timeout=10).json()


def approve(client: Client, request_id: str) -> None:
    client.send("POST", f"requests/{request_id}/approve", {"activation_tile": "Welcome"})
    conversation = client.get("conversations", {"instance_id": request_id})[0]["id"]
    client.send("POST", f"conversations/{conversation}/messages", {"text": "Activated."})


def test_the_list_has_pages_and_loses_what_is_approved(client: Client) -> None:
    names = [row["id"] for row in client.get_all("requests", "limit=2")]
    assert len(set(names)) == 3
    approve(client, names[0])
    assert [row["id"] for row in client.get_all("requests")] == names[1:]
    assert client.get(f"requests/{names[0]}")["status"] == "approved"


def test_the_list_leaves_out_what_is_not_selected_and_counts_its_bytes(
    client: Client, url: str
) -> None:
    whole = list(client.get_all("requests"))
    size = report(url)["list_bytes"]
    short = list(client.get_all("requests", "select(-template,-asset.items)"))
    assert report(url)["list_bytes"] < 2 * size
    for row, other in zip(short, whole, strict=True):
        other["asset"].pop("items")
        assert row == other


def test_it_is_done_when_each_is_approved_and_has_its_message(client: Client, url: str) -> None:
    names = [row["id"] for row in client.get_all("requests")]
    for name in names:
        assert not report(url)["done"]
        approve(client, name)
    seen = report(url)
    assert (seen["done"], seen["approved"], seen["duplicates"]) == (True, 3, 0)
    assert seen["calls"]["POST requests/{id}/approve"] == 3


def test_duplicates_are_reported(client: Client, url: str) -> None:
    name = next(client.get_all("requests"))["id"]
    approve(client, name)
    conversation = client.get("conversations", {"instance_id": name})[0]["id"]
    client.send("POST", f"conversations/{conversation}/messages", {"text": "Activated."})
    with pytest.raises(Exception, match="Not pending"):
        client.send("POST", f"requests/{name}/approve", {"activation_tile": "Welcome"})
    assert report(url)["duplicates"] == 2
