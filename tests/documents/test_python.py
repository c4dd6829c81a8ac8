"""The Python of the pages runs; a processor in it decides the sandbox's requests."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from connect_worker.config import Config, use_config
from connect_worker.resources.automation import Automation
from connect_worker.resources.validation import Validation
from connect_worker.testing import purchase, run
from examples import vendor
from tests.support.page_blocks import BLOCKS, Block
from tests.support.sandbox_server import API_KEY, Client

#: pytest runs what begins as a test, with all of its page: tests/documents/test_testing_page.py.
TESTS = re.compile(r"^def test_", re.MULTILINE)
PYTHON = [block for block in BLOCKS if block.language == "python" and not TESTS.search(block.text)]


class MySystem:
    """What the pages call `my_system`: the sandbox's vendor, over HTTP."""

    def create_tenant(self, email: str, *, idempotency_key: str) -> str:
        return vendor.create_tenant(request_id="", email=email, key=idempotency_key)

    def create_mailbox(self, tenant: str, *, key: str) -> str:
        return vendor.create_tenant(request_id="", email=f"box@{tenant}", key=key)

    def is_ready(self, tenant: str) -> bool:
        return tenant.startswith("TEN-")


@pytest.fixture
def sandbox(shared_sandbox: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("VENDOR_URL", f"{shared_sandbox.root}/vendor")
    return shared_sandbox


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_block_runs_and_its_processors_decide(block: Block, sandbox: Client) -> None:
    names = {
        "__name__": "processors",
        "my_system": MySystem(),
        # A few lines from the inside of a processor.
        "self": SimpleNamespace(idempotency_key="a-key"),
        "email": "ada@example.org",
    }
    exec(compile(block.text, str(block), "exec"), names)
    automations = [
        name for name in names.values() if isinstance(name, type) and issubclass(name, Automation)
    ]
    for name in names.values():
        if isinstance(name, type) and issubclass(name, Validation) and "validate" in vars(name):
            assert run(name, purchase(params={"email": "nobody"})).errors.keys() == {"email"}
    with use_config(Config.local(f"{sandbox.root}/public/v1", API_KEY)) as config:
        for automation in automations:
            if automation.__module__ == "processors":
                automation(config).process()
                assert_decided(sandbox, automation.kind)


def assert_decided(sandbox: Client, kind: str) -> None:
    totals = sandbox.control("GET", "report?summary=1")["totals"][kind]
    assert totals["count"] > 0
    assert totals["refused"] == {} or not totals["refused"], totals
    assert totals["status"].get("pending", 0) == 0, totals
    assert sum(totals["accepted"].values()) == totals["count"], totals


def test_processors_are_among_them() -> None:
    with_processors = {
        block.page for block in PYTHON if re.search(r"def process_request", block.text)
    }
    assert {"README.md", "docs/quickstart.md", "docs/processors.md"} <= with_processors


def test_only_the_page_about_testing_has_tests() -> None:
    pages = {block.page for block in BLOCKS if TESTS.search(block.text)}
    assert pages == {"docs/testing.md"}
