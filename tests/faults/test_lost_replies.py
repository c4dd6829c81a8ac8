"""Messages and usage files whose reply, or whose sender, is lost (rows 24, 25 and 54 to 56)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import LISTINGS, FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[FaultStack]:
    """A stack that reports usage."""
    with running_fault_stack(tmp_path, CONNECT_PROCESSORS=str(LISTINGS)) as stack:
        yield stack


@pytest.mark.parametrize(
    ("path", "committed", "status"),
    [
        pytest.param(
            *("/usage/files/?$", True, ["draft"]),
            id="created without a reply",
            marks=pytest.mark.long,
        ),
        pytest.param("/upload", False, ["draft"], id="about to upload"),
        pytest.param(
            *("/upload", True, ["ready"]), id="uploaded without a reply", marks=pytest.mark.long
        ),
    ],
)
def test_a_usage_submission_that_is_killed_leaves_one_file_uploaded_once(
    reporting: FaultStack, path: str, committed: bool, status: list[str]
) -> None:
    """Row 24: the worker dies at the call; another finds the file and goes on."""
    stack = reporting
    stack.seed(listings=1, fulfillment=3)
    [listing] = stack.ids("listed")
    stack.misbehave("hang", method="POST", path=path, commit=committed)
    stack.work("one")
    stack.until_soon(lambda: stack.hits() == 1, "the call is sent")
    stack.kill("one")
    assert [file["status"] for file in stack.entry(listing)["usage_files"]] == status
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_soon(lambda: 1 in uploads(stack, listing), "the records are uploaded")
    stack.until_soon(stack.is_idle, "every job has ended")
    stack.until_polled_again()

    first, second = stack.orders.runs(listing)
    assert first.key == second.key
    [file] = stack.entry(listing)["usage_files"]
    assert (file["uploads"], file["records_invalid"]) == (1, 0)
    assert file["records_valid"] > 0


def uploads(stack: FaultStack, listing: str) -> list[int]:
    return [file["uploads"] for file in stack.entry(listing)["usage_files"]]


def test_a_message_whose_reply_is_lost_is_said_once(stack: FaultStack) -> None:
    """Row 25."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.misbehave("reset_after", method="POST", path="/messages")
    stack.work("one")
    stack.until_soon(lambda: stack.hits() == 1, "the message is sent")
    stack.until_done()
    assert_said_once(stack, request_id)


@pytest.mark.long
@pytest.mark.parametrize("committed", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_message_whose_sender_is_killed_is_said_once(stack: FaultStack, committed: bool) -> None:
    """Row 25: Connect took the message, or lost it; the worker dies without a reply."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.misbehave("hang", method="POST", path="/messages", commit=committed)
    stack.work("one")
    stack.until_soon(lambda: stack.hits() == 1, "the message is sent")
    stack.kill("one")
    assert len(stack.entry(request_id)["messages"]) == (1 if committed else 0)
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_done()
    assert_said_once(stack, request_id)


@pytest.mark.parametrize("api", ["37.0", pytest.param("2019", marks=pytest.mark.long)])
def test_each_message_is_said_once_in_its_open_conversation(stack: FaultStack, api: str) -> None:
    """Rows 54 to 56: notes and closed conversations are listed first; or the API is that of 2019.

    Of 30 messages Connect takes five without a reply, and loses five.
    """
    stack.seed("--api", api, fulfillment=30)
    for action in ("reset_after", "reset_before"):
        stack.misbehave(action, method="POST", path="/messages", times=5)
    stack.work("one")
    stack.until_done()
    stack.until_polled_again()

    rows = stack.report()["requests"].values()
    said = {row["id"]: len(row["messages"]) for row in rows}
    assert said == dict.fromkeys(said, 1)
    assert stack.hits() == 10
    assert_each_resolved_once(stack.report())
    # Each of the two processes notices what is different once, for each of the three actions.
    events = ("connect.slash_needed", "poll.select_refused")
    slashes, refusals = map(stack.whole_log("one").count, events)
    if api == "2019":
        assert 3 <= slashes <= 6
        assert 1 <= refusals <= 2
    else:
        assert slashes == refusals == 0


def assert_said_once(stack: FaultStack, request_id: str) -> None:
    assert len(stack.orders.runs(request_id)) == 1
    assert len(stack.entry(request_id)["messages"]) == 1
    assert_each_resolved_once(stack.report())
