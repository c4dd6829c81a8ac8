"""The fixtures as a vendor's tests use them: real processes, found through the entry point."""

from __future__ import annotations

import pytest

from connect_worker.domain.outcomes import to_json
from connect_worker.exceptions import ServerFault
from connect_worker.ledger.redis import RedisLedger
from connect_worker.testing import (
    Approve,
    RequestKey,
    RequestKind,
    State,
    purchase,
    run,
    tier_setup,
)
from connect_worker.testing.sandbox import Sandbox
from connect_worker.testing.worker import Workers
from examples.purchases import Purchases
from tests.support.processors.vendor import Tenants

pytestmark = pytest.mark.acceptance


def test_a_worker_decides_what_the_sandbox_is_given(
    sandbox: Sandbox, worker: Workers, ledger: RedisLedger
) -> None:
    worker(Purchases, "examples.resellers")
    names = [
        sandbox.add(purchase(params={"email": "ada@customer.example"})),
        sandbox.add(purchase(params={"email": ""})),
        sandbox.add(tier_setup()),
    ]
    approved = sandbox.wait_for(names[0], "approved")
    assert approved["vendor"]["effects"] == 1
    sandbox.wait_for(names[1], "inquiring")
    asked = sandbox.wait_until(names[1], lambda entry: bool(entry["messages"]))
    assert [message["text"] for message in asked["messages"]] == ["We need an email address"]
    sandbox.wait_for(names[2], "approved")
    sandbox.answer(names[1], {"email": "b@customer.example"})
    sandbox.wait_for(names[1], "approved")
    entry = ledger.get_record(RequestKey(RequestKind.FULFILLMENT, names[0]))
    assert entry is not None
    assert entry.decision["decision"] == to_json(Approve(tile=entry.decision["decision"]["tile"]))
    assert entry.state in (State.COMPLETED, State.POSTING)


@pytest.mark.long
def test_a_killed_workers_request_is_taken_over(sandbox: Sandbox, worker: Workers) -> None:
    first = worker(Tenants, SECONDS_BEFORE_DECISION="60")
    name = sandbox.add(purchase())
    sandbox_says = sandbox.wait_until(name, lambda entry: entry["vendor"]["effects"] == 1)
    assert sandbox_says["status"] == "pending"
    first.kill()
    assert not first.is_running
    worker(Tenants)
    entry = sandbox.wait_for(name, "approved")
    assert (entry["vendor"]["calls"], entry["vendor"]["effects"]) == (2, 1)


def test_each_test_finds_everything_empty(sandbox: Sandbox, ledger: RedisLedger) -> None:
    assert sandbox.report() == {}
    assert list(ledger.iter_records()) == []


def test_a_processor_is_run_in_this_process_beside_the_sandboxs_vendor(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_URL", sandbox.vendor_url)
    name = sandbox.add(purchase())
    done = run(Tenants, purchase(id=name))
    assert done.result == "approved"
    entry = sandbox.entry(name)
    # The vendor's system was called; Connect was not.
    assert (entry["status"], entry["vendor"]["effects"]) == ("pending", 1)


def test_faults_end_with_their_block(sandbox: Sandbox) -> None:
    name = sandbox.add(purchase())
    automation = Tenants(sandbox.config)
    fault = sandbox.fault("status", status=503, path=f"requests/{name}", times=None)
    with fault, pytest.raises(ServerFault, match="503"):
        automation.client.get(f"requests/{name}")
    assert automation.client.get(f"requests/{name}")["status"] == "pending"


def test_what_the_sandbox_does_not_take_is_told(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="there is no such product"):
        sandbox.add(purchase(product="PRD-000-000-000"))
    with pytest.raises(AssertionError, match=r"is pending and not approved after 0\.1 s"):
        sandbox.wait_for(sandbox.add(purchase()), "approved", seconds=0.1)


def test_a_worker_that_cannot_start_says_why(worker: Workers) -> None:
    with pytest.raises(RuntimeError, match="no_such_module can't be imported"):
        worker("no_such_module")
