"""What a customer writes into a parameter costs no worker more than its own request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.stack import ROOT

pytestmark = [pytest.mark.faults]

#: Of `QuotingPurchases`.
QUOTED_CHARACTERS = 100
PURCHASE = {"kind": "fulfillment", "scenario": "purchase"}
MOST_ATTEMPTS = 2
#: To look for the value in the error took more than 30 seconds, and twice that for two
#: characters more.
DOCUMENT = json.dumps(
    {
        "company": 'Example "Holding"',
        "seats": [{"name": "a/b", "n": 1}, {"name": "c-d", "n": 2}],
        "notes": ["50% + more", "--"],
    }
)
assert QUOTED_CHARACTERS < len(DOCUMENT) < 150


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    settings = {
        "CONNECT_PROCESSORS": str(ROOT / "tests/support/processors/quoting.py"),
        "CONNECT_MAX_ATTEMPTS": str(MOST_ATTEMPTS),
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        yield stack


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "password"])
def test_an_error_that_quotes_a_part_of_a_parameter_stops_no_worker(
    stack: FaultStack, kind: str
) -> None:
    stack.seed()
    params = [{"id": "document", "type": kind, "value": DOCUMENT, "value_error": ""}]
    [hostile] = stack.control(
        "POST", "requests", PURCHASE | {"body": {"asset": {"params": params}}}
    )["ids"]
    stack.work("one", concurrency=1)
    began = time.monotonic()
    stack.until_soon(lambda: _state(stack, hostile) is State.PARKED, "the hostile one is parked")
    # Two attempts, the pause between them, and the start of the worker.
    assert time.monotonic() - began < 30
    entry = stack.record(hostile)
    assert (entry.attempt, len(stack.orders.runs(hostile))) == (MOST_ATTEMPTS, MOST_ATTEMPTS)
    assert entry.error.startswith("ValueError: the vendor's system can't read ")

    # The only process of the only worker takes the next one.
    [plain] = stack.control("POST", "requests", PURCHASE)["ids"]
    stack.until_soon(lambda: _state(stack, plain) is State.COMPLETED, "the next one is settled")
    assert {run.pid for run in stack.orders.runs(plain)} == {
        run.pid for run in stack.orders.runs(hostile)
    }


def _state(stack: FaultStack, request_id: str) -> State | None:
    entry = stack.ledger().get_record(RequestKey(RequestKind.FULFILLMENT, request_id))
    return entry.state if entry else None
