"""Posts of every kind whose reply is lost: Connect took them, or never got them (row 15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_stack import PURCHASES, REVIEWS, FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

#: After so long a post that is never answered is given up.
TIMEOUT_SECONDS = 2

#: The call that posts the decision on a request of each scenario.
POSTS = {
    ("fulfillment", "purchase"): "requests/{id}/approve",
    ("fulfillment", "missing-email"): "requests/{id}/inquire",
    ("fulfillment", "absurd-quantity"): "requests/{id}/fail",
    ("tier-config", "setup"): "tier/config-requests/{id}/approve",
    ("usage-file", "ready"): "usage/files/{id}/submit",
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    """A stack that looks after all these kinds, with nothing to do yet."""
    settings = {
        "CONNECT_PROCESSORS": f"{PURCHASES},{REVIEWS}",
        "CONNECT_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        stack.seed()
        yield stack


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        pytest.param({"action": "reset_after"}, 1, id="reset, committed", marks=pytest.mark.long),
        pytest.param({"action": "reset_before"}, 2, id="reset, lost"),
        pytest.param({"action": "hang"}, 1, id="never answered, committed", marks=pytest.mark.long),
        pytest.param(
            *({"action": "hang", "commit": False}, 2),
            id="never answered, lost",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_post_without_a_reply_is_settled_by_looking(
    stack: FaultStack, fault: dict[str, Any], sent: int
) -> None:
    """Row 15: sent again only where Connect shows that it never took the first one."""
    ids = [add(stack, kind, scenario) for kind, scenario in POSTS]
    for request_id, route in zip(ids, POSTS.values(), strict=True):
        stack.misbehave(**fault, method="POST", path=f"/{route.format(id=request_id)}/?$")
    stack.work("one")
    stack.until_done()

    assert stack.hits() == len(POSTS)
    assert calls(stack, "POST", POSTS.values()) == dict.fromkeys(POSTS.values(), sent)
    assert [len(stack.orders.runs(request_id)) for request_id in ids] == [1] * len(POSTS)
    assert_each_resolved_once(stack.report())


@pytest.mark.parametrize(
    "action", ["reset_before", pytest.param("reset_after", marks=pytest.mark.long)]
)
def test_parameters_whose_reply_is_lost_are_stored_again_and_the_request_inquired_once(
    stack: FaultStack, action: str
) -> None:
    """Row 15: storing the same values twice harms nobody; the inquiry comes after it."""
    request_id = add(stack, "fulfillment", "missing-email")
    stack.misbehave(action, method="PUT", path=f"/{request_id}/?$")
    stack.work("one")
    stack.until_done()

    assert stack.hits() == 1
    assert calls(stack, "PUT", ["requests/{id}"]) == {"requests/{id}": 2}
    assert calls(stack, "POST", ["requests/{id}/inquire"]) == {"requests/{id}/inquire": 1}
    assert len(stack.orders.runs(request_id)) == 1
    assert_each_resolved_once(stack.report())


def add(stack: FaultStack, kind: str, scenario: str) -> str:
    """Add one request; its id."""
    [request_id] = stack.control("POST", "requests", {"kind": kind, "scenario": scenario})["ids"]
    return str(request_id)


def calls(stack: FaultStack, method: str, routes: Iterable[str]) -> dict[str, int]:
    """How many calls of each route have reached Connect."""
    counted = stack.report(summary=True)["calls"]["by_route"]
    return {route: counted.get(f"{method} {route}", 0) for route in routes}
