"""The sandbox serves a client that nobody here wrote: connect-sdk 22.0 from the package index.

The same program then runs with this project's classes, and each request ends the same.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_environment import foreign_python
from tests.support.sandbox_server import API_KEY, Client, running_sandbox

pytestmark = [pytest.mark.foreign, pytest.mark.slow]


@pytest.fixture(scope="module", params=["connect-sdk", "connect_worker"])
def library(request: pytest.FixtureRequest) -> str:
    """What the program imports as `connect`."""
    return str(request.param)


@pytest.fixture(scope="module")
def process() -> Iterator[Client]:
    """It posts to the paths of 2019."""
    with running_sandbox("--requests", "120", "--api", "2019") as client:
        yield client


@pytest.fixture(scope="module")
def seen(process: Client, library: str) -> Any:
    """What the program saw while it processed everything."""
    script = Path(__file__).with_name("foreign_client.py")
    python = [str(foreign_python()), "-W", "ignore"]
    if library == "connect_worker":
        python = [sys.executable, "-m", "connect_worker.compat"]
    process.control("POST", "reset")
    finished = subprocess.run(
        [*python, script, f"{process.root}/public/v1/", API_KEY],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return json.loads(finished.stdout)


@pytest.fixture
def report(process: Client, seen: Any) -> Any:
    return process.control("GET", "report")["requests"]


def of_kind(report: Any, kind: str) -> list[Any]:
    return [entry for entry in report.values() if entry["kind"] == kind]


def test_it_saw_every_request_that_waits(seen: Any, report: Any) -> None:
    for name, kind, status in (
        ("fulfillment", "fulfillment", "pending"),
        ("tier_config", "tier-config", "pending"),
        ("usage_files", "usage-file", "ready"),
        ("listings", "usage", "listed"),
    ):
        waiting = {e["id"] for e in of_kind(report, kind) if e["initial_status"] == status}
        assert set(seen[name]) == waiting, name


def test_each_order_was_decided_once_as_its_scenario_asks(report: Any) -> None:
    expected = {"missing-email": "inquire", "absurd-quantity": "fail"}
    for entry in of_kind(report, "fulfillment"):
        actions = [outcome["action"] for outcome in entry["accepted"]]
        assert actions == [expected.get(entry["scenario"], "approve")], entry
        assert entry["refused"] == []
        assert len(entry["messages"]) == 1


def test_purchases_got_their_identifier(report: Any) -> None:
    bought = [e for e in of_kind(report, "fulfillment") if e["scenario"] == "purchase"]
    assert bought
    for entry in bought:
        assert entry["params"][0]["purchase_id"]["value"] == f"TEN-{entry['id']}"


def test_resellers_were_set_up_and_found_again(seen: Any, report: Any) -> None:
    setups = [e for e in of_kind(report, "tier-config") if e["scenario"] == "setup"]
    assert {e["status"] for e in setups} == {"approved"}
    assert seen["tier_configs_found"] == len(setups)
    updates = [e for e in of_kind(report, "tier-config") if e["scenario"] == "update"]
    assert {e["status"] for e in updates} == {"failed"}


def test_each_listing_has_one_report_with_three_readable_records(report: Any) -> None:
    for entry in of_kind(report, "usage"):
        facts = [(f["uploads"], f["records_valid"], f["status"]) for f in entry["usage_files"]]
        assert facts == [(1, 3, "ready")], entry


def test_usage_files_were_submitted(report: Any) -> None:
    ready = [e for e in of_kind(report, "usage-file") if e["scenario"] == "ready"]
    assert {e["status"] for e in ready} == {"pending"}


def test_templates_and_assets_can_be_read(seen: Any) -> None:
    assert seen["templates_rendered"] == 1
    assert seen["usage_template_bytes"] > 1000
    assert seen["assets"] > 0
