"""Three programs in the shape of what vendors published, as scripts and under worker and beat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_server import API_KEY, Client, running_sandbox
from tests.support.stack import Stack, running_stack
from tests.unit.compat.interpreter import python

pytestmark = pytest.mark.acceptance

SCRIPTS = Path(__file__).parents[1] / "unit" / "compat" / "scripts"
#: A cron job with a backend; a connector with its own configuration, log filter and list; a project
#: made from a template, which logs whole documents.
PROGRAMS = ("cron_processor", "connector", "template_project")
PASSWORD = "metering-4711"
#: Of how many assets the connector reports the usage.
MOST = 3

#: What the cron job and the template project make of each scenario: the actions and the status.
EXPECTED = {
    "purchase": (["approve"], "approved"),
    "missing-email": (["inquire"], "inquiring"),
    "absurd-quantity": (["fail"], "failed"),
    "cancel": (["approve"], "approved"),
    "change": ([], "pending"),
    "suspend": ([], "pending"),
    "resume": ([], "pending"),
    "setup": (["approve"], "approved"),
    "update": (["approve"], "approved"),
    "ready": (["submit"], "pending"),
    "invalid": ([], "invalid"),
}


@pytest.fixture(scope="module")
def sandbox_process() -> Iterator[Client]:
    with running_sandbox("--requests", "50", "--products", "1") as client:
        yield client


@pytest.fixture
def sandbox(sandbox_process: Client) -> Client:
    sandbox_process.control("POST", "reset")
    sandbox_process.control("POST", "requests", {"kind": "usage-file", "scenario": "invalid"})
    return sandbox_process


@pytest.fixture
def home(sandbox: Client, tmp_path: Path) -> Path:
    """A folder with the programs and their `config.json`."""
    for name in PROGRAMS:
        (tmp_path / f"{name}.py").write_text((SCRIPTS / f"{name}.py.txt").read_text())
    account = {
        "apiEndpoint": f"{sandbox.root}/public/v1",
        "apiKey": API_KEY,
        "products": [],
        "backend": f"{sandbox.root}/vendor",
        "misc": {"password": PASSWORD, "most": MOST},
    }
    (tmp_path / "config.json").write_text(json.dumps(account))
    return tmp_path


def wrong_entries(sandbox: Client) -> dict[str, Any]:
    """Return the requests that did not end as the programs decide."""
    return {
        name: entry
        for name, entry in sandbox.control("GET", "report")["requests"].items()
        if entry["scenario"] in EXPECTED
        and ([item["action"] for item in entry["accepted"]], entry["status"])
        != EXPECTED[entry["scenario"]]
    }


def reports(sandbox: Client) -> list[tuple[str, int, int]]:
    """Return the usage files that the connector made: status, valid and invalid records."""
    files = sandbox.get("usage/files", "like(name,'Usage of AS-*')&limit=100")
    assert len({file["name"] for file in files}) == len(files)
    records = [file["records"] for file in files]
    return [
        (file["status"], count["valid"], count["invalid"])
        for file, count in zip(files, records, strict=True)
    ]


def assert_decided(sandbox: Client, log: str) -> None:
    report = sandbox.control("GET", "report")["requests"].values()
    assert {entry["scenario"] for entry in report} >= set(EXPECTED)
    assert wrong_entries(sandbox) == {}
    purchases = [entry for entry in report if entry["scenario"] == "purchase"]
    assert all(entry["vendor"]["effects"] == 1 for entry in purchases)
    assert reports(sandbox) == [("pending", 3, 0)] * MOST
    assert "with password ******" in log
    assert "skipped: Non controlled status" in log
    assert "Got {" in log
    assert PASSWORD not in log
    assert API_KEY not in log


def test_run_as_scripts(sandbox: Client, home: Path) -> None:
    log = ""
    for name in PROGRAMS:
        status, _, errors = python("-m", "connect_worker.compat", f"{name}.py", cwd=home)
        log += errors
        assert status == 0, errors
    assert_decided(sandbox, log)


def test_run_under_worker_and_beat(sandbox: Client, home: Path) -> None:
    with running_stack(
        home,
        CONNECT_CONFIG_FILE="config.json",
        CONNECT_PROCESSORS=",".join(f"./{name}.py" for name in PROGRAMS),
        CONNECT_SKIP_SECONDS="60",
    ) as stack:
        stack.home = home
        stack.worker("worker", "--pool", "threads", "--concurrency", "4")
        stack.celery("beat", "beat", "-l", "info", "-s", str(home / "schedule"))
        stack.until(lambda: is_done(stack, sandbox), "everything is decided", seconds=60)
        log = stack.whole_log("worker")
    assert_decided(sandbox, log)
    assert "job.parked" not in log
    assert "job.retry_scheduled" not in log


def is_done(stack: Stack, sandbox: Client) -> bool:
    return (
        not wrong_entries(sandbox)
        and [status for status, *_ in reports(sandbox)] == ["pending"] * MOST
        and "skipped: Non controlled status" in stack.whole_log("worker")
    )


def test_try_runs_them_over_one_request(sandbox: Client, home: Path) -> None:
    order, asset = sandbox.with_scenario("purchase"), sandbox.get("assets", "status=active")[0]
    environment = {"CONNECT_CONFIG_FILE": "config.json"}
    for name, request_id in (("connector", asset["id"]), ("cron_processor", order)):
        words = ("-m", "connect_worker", "try", f"./{name}.py", request_id)
        status, output, errors = python(*words, cwd=home, settings=environment)
        assert status == 0, output + errors
        assert "Would be sent to Connect; nothing was" in output
