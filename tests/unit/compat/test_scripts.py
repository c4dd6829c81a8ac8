"""Processors written for the 2019 SDK, as scripts and under the worker, judged by the sandbox."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_server import API_KEY, Client, running_sandbox

from .interpreter import python

SCRIPTS = Path(__file__).with_name("scripts")
NAMES = ("purchases", "resellers", "reports", "reviews")
CONTRACT = "CRD-11111-22222-333"

#: What the scripts make of each scenario: the actions, the status, and what is said.
EXPECTED: dict[str, tuple[list[str], str, list[str]]] = {
    "purchase": (["approve"], "approved", ["Activated using template TL-497-535-242."]),
    "missing-email": (["inquire"], "inquiring", ["An address is missing"]),
    "absurd-quantity": (["fail"], "failed", ["We have no more than 100000 seats"]),
    "cancel": (["approve"], "approved", ["Activated using custom activation tile."]),
    "change": ([], "pending", ["Only sold, never changed"]),
    "suspend": ([], "pending", ["Only sold, never changed"]),
    "resume": ([], "pending", ["Only sold, never changed"]),
    "setup": (["approve"], "approved", []),
    "update": ([], "pending", []),
    "ready": (["submit"], "pending", []),
    "invalid": (["delete"], "deleted", []),
    "listed": ([], "listed", []),
}


@pytest.fixture(scope="module")
def sandbox_process() -> Iterator[Client]:
    with running_sandbox("--requests", "50", "--products", "1") as client:
        yield client


@pytest.fixture
def sandbox(sandbox_process: Client) -> Client:
    """A sandbox as it was seeded, with one more listing and one invalid file."""
    sandbox_process.control("POST", "reset")
    listing = {"kind": "usage", "body": {"contract": {"id": CONTRACT}}}
    sandbox_process.control("POST", "requests", listing)
    sandbox_process.control("POST", "requests", {"kind": "usage-file", "scenario": "invalid"})
    return sandbox_process


@pytest.fixture
def home(sandbox: Client, tmp_path: Path) -> Path:
    """A folder with the scripts and their `config.json`."""
    for name in (*NAMES, "earliest"):
        (tmp_path / f"{name}.py").write_text((SCRIPTS / f"{name}.py.txt").read_text())
    products = sorted({entry["product"] for entry in entries(sandbox)})
    account = {"apiEndpoint": f"{sandbox.root}/public/v1", "apiKey": API_KEY, "products": products}
    (tmp_path / "config.json").write_text(json.dumps(account))
    return tmp_path


def entries(sandbox: Client) -> list[dict[str, Any]]:
    return list(sandbox.control("GET", "report")["requests"].values())


def assert_decided(sandbox: Client) -> None:
    """Every request ended as the scripts decide."""
    judged = entries(sandbox)
    # The report's own file may be there before or after the files are polled.
    rest = [entry for entry in judged if entry["scenario"] != "created"]
    for entry in rest:
        actions = [outcome["action"] for outcome in entry["accepted"]]
        said = [message["text"] for message in entry["messages"]]
        assert (actions, entry["status"], said) == EXPECTED[entry["scenario"]], entry
        assert not entry["refused"]
    assert {entry["scenario"] for entry in rest} == set(EXPECTED)
    reported = [entry["usage_files"] for entry in judged if entry.get("usage_files")]
    assert [[(f["uploads"], f["records_valid"]) for f in files] for files in reported] == [[(1, 2)]]
    params = [entry["params"][0] for entry in judged if entry["scenario"] == "purchase"]
    assert all(put["purchase_id"]["value"].startswith("SEAT-PR-") for put in params)


def test_run_as_scripts_each_in_one_process(sandbox: Client, home: Path) -> None:
    for name in NAMES:
        status, _, errors = python("-m", "connect_worker.compat", f"{name}.py", cwd=home)
        assert status == 0, errors
        assert "INFO connect_worker local.completed request=" in errors
        assert re.search(r"\nconnect_worker.compat: \d+ requests?: (?!.*not decided)", errors)
        assert API_KEY not in errors
    assert_decided(sandbox)


FAILING = """
import sys
from connect.exceptions import SkipRequest
from connect.models import ActivationTemplateResponse, ActivationTileResponse
from connect.resources import FulfillmentAutomation

class Mine(FulfillmentAutomation):
    def process_request(self, request):
        if request.type == "cancel":
            return ActivationTileResponse("# Bye")
        if request.type == "purchase":
            return ActivationTemplateResponse("TL-000-000-999")  # which Connect refuses
        if request.type == "change":
            raise OSError("the vendor's system is away")
        raise SkipRequest("Later")

Mine().process()
"""


@pytest.mark.parametrize("end", ["", "sys.exit()", "sys.exit(3)"])
def test_what_was_not_decided_is_counted_and_the_exit_status_says_so(
    sandbox: Client, home: Path, end: str
) -> None:
    (home / "failing.py").write_text(FAILING + end)
    status, _, errors = python("-m", "connect_worker.compat", "failing.py", cwd=home)
    assert status == (3 if "3" in end else 1)
    kinds = Counter(e["type"] for e in entries(sandbox) if e["kind"] == "fulfillment")
    failed = kinds["purchase"] + kinds["change"]
    skipped = kinds.total() - failed - kinds["cancel"]
    assert errors.splitlines()[-1] == (
        f"connect_worker.compat: {kinds.total()} requests: {kinds['cancel']} approved, "
        f"{skipped} left pending, {failed} not decided"
    )
    assert "OSError: the vendor's system is away" in errors
    assert "parked" not in errors


def test_without_its_config_a_script_ends_with_a_sentence(home: Path) -> None:
    (home / "config.json").unlink()
    status, _, errors = python("-m", "connect_worker.compat", "purchases.py", cwd=home)
    assert status == 1
    assert f"connect_worker.compat: there is no file {home / 'config.json'}: write api" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_one_written_for_the_first_releases_decides_the_same(sandbox: Client, home: Path) -> None:
    """With the names and arguments that they had."""
    for name in ("earliest", *NAMES[1:]):
        status, _, errors = python("-m", "connect_worker.compat", f"{name}.py", cwd=home)
        assert status == 0, errors
    assert_decided(sandbox)


def test_run_under_the_worker(sandbox: Client, home: Path) -> None:
    # A script in another folder than the worker's, as when it is called by its path.
    modules = [*(f"./{name}.py" for name in NAMES[:3]), "reviews"]
    status, output, errors = python("-m", "tests.unit.compat.one_round", *modules, cwd=home)
    assert status == 0, errors
    assert "approved" in output
    assert_decided(sandbox)


def test_without_its_config_the_worker_says_what_is_missing_and_where(
    sandbox: Client, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    code = f"""
from connect_worker.config import Config
from connect_worker.exceptions import RegistrationError
from connect_worker.resources.processor import load_registry
try:
    load_registry([{str(home / "purchases.py")!r}], Config.local("https://a.example", "key"))
except RegistrationError as error:
    print(error)
"""
    status, output, errors = python("-c", code, cwd=elsewhere)
    assert status == 0, errors
    assert "can't be imported: FileNotFoundError" in output
    assert str(elsewhere / "config.json") in output
