"""One odd row or document in Connect stops no other request (row 16)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, RequestRecord, State
from connect_worker.engine.poller import MOST_FAULTS
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.scripted_server import KEY, Call, Reply, serving
from tests.support.stack import ROOT

pytestmark = [pytest.mark.faults]

GOOD = tuple(f"PR-0000-0000-000{number}" for number in range(3))
BAD = "PR-6666-0000-0000"
ACTIONS = {"approve": "approved", "fail": "failed", "inquire": "inquiring"}

SURROGATE = "\\udc00"


def row(name: str = BAD, product: str = '"PRD-1"', params: str = "[]", more: str = "") -> str:
    """Return a request as JSON text, which may be any text."""
    asset = f'{{"product": {{"id": {product}}}, "items": [], "params": {params}}}'
    return f'{{"id": "{name}", "type": "purchase", "status": "pending", "asset": {asset}{more}}}'


def param(name: str, value: str) -> str:
    return f'[{{"id": "{name}", "type": "text", "value": "{value}"}}]'


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


#: A row whose request ends in a state, with a text in its error; "" of one that is processed.
ROWS: dict[str, tuple[str, str]] = {
    "4,301 digits where a list is": (
        f'{{"id": "{BAD}", "status": "pending", "asset": {"9" * 4301}}}',
        "asset",
    ),
    "4,301 digits in a field of no meaning": (row(more=f', "more": {"9" * 4301}'), ""),
    "960 levels": (row(more=f', "more": {nested(960)}'), "levels"),
    "100,000 levels": (row(more=f', "more": {nested(100_000)}'), "levels"),
    "a lone surrogate in the product": (
        row(product=f'"PRD-{SURROGATE}"'),
        r"asset.product.id: 'PRD-\udc00'",
    ),
    "NUL in the product": (row(product='"PRD-\\u0000"'), r"asset.product.id: 'PRD-\x00'"),
    "a product of 200,000 characters": (
        row(product=f'"PRD-{"0" * 200_000}"'),
        "(200004 characters)",
    ),
    "a product that is an object": (row(product='{"a": 1}'), "asset.product.id: an object"),
    "a lone surrogate in the status": (
        row().replace('"pending"', f'"pending{SURROGATE}"'),
        "status: ",
    ),
    "NaN and 1e400": (row(more=', "more": [NaN, 1e400, -Infinity]'), ""),
    "a lone surrogate in the reason": (
        row(params=param("reason", f"No {SURROGATE}")),
        "UTF-8 can't encode",
    ),
    "a lone surrogate in a parameter": (
        row(params=param("message", f"Why {SURROGATE}?")),
        "UTF-8 can't encode",
    ),
    "a lone surrogate in an error": (row(params=param("error", f"it {SURROGATE}")), r"it \udc00"),
    "NaN that the processor sends": (row(params=param("number", "nan")), "no JSON"),
}

#: Rows that can't become requests, and what the poll says of them.
NAMELESS: dict[str, tuple[str, str]] = {
    "null": ("null", "a row without an id"),
    "a list": ('["PR-1"]', "a row without an id"),
    "without an id": ('{"status": "pending"}', "a row without an id"),
    "an object as an id": ('{"id": {"a": 1}, "status": "pending"}', "id is a dict"),
    "4,301 digits as an id": (f'{{"id": {"9" * 4301}, "status": "pending"}}', "characters)"),
    "a lone surrogate in the id": (row(f"PR-{SURROGATE}"), r"'PR-\udc00'"),
    "NUL in the id": (row("PR-\\u0000"), r"'PR-\x00'"),
    "an id of 200,000 characters": (row(f"PR-{'0' * 200_000}"), "(200003 characters)"),
}


class HostileConnect:
    """Connect with three good requests, and rows that it should not have."""

    def __init__(self, *rows: str) -> None:
        self.rows = [row(GOOD[0]), *rows, *map(row, GOOD[1:]), row(GOOD[0])]
        self.status: dict[str, str] = {}

    def __call__(self, call: Call) -> Reply:
        path = call.path.removeprefix("/public/v1/").strip("/").split("/")
        if path == ["requests"]:
            return self._page()
        if path[0] == "requests" and call.method == "GET":
            return Reply(body=self._document(path[1]).encode())
        if path[0] == "requests" and len(path) == 3:
            self.status[path[1]] = ACTIONS[path[2]]
        return Reply(body=[] if path[0] == "conversations" else {})

    def _page(self) -> Reply:
        rows = [text for text in self.rows if not any(name in text for name in self.status)]
        headers = {"Content-Range": f"items 0-{max(len(rows) - 1, 0)}/{len(rows)}"}
        return Reply(body=f"[{', '.join(rows)}]".encode(), headers=headers)

    def _document(self, name: str) -> str:
        text = next(text for text in self.rows if f'"{name}"' in text)
        return text.replace('"pending"', json.dumps(self.status.get(name, "pending")))


Start = Callable[[HostileConnect], FaultStack]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker and beat for a hostile Connect."""
    settings = {
        "CONNECT_PROCESSORS": str(ROOT / "tests/support/processors/echoing.py"),
        "CONNECT_MAX_ATTEMPTS": "2",
        "CONNECT_API_KEY": KEY,
    }
    with ExitStack() as exits:
        stack = exits.enter_context(running_fault_stack(tmp_path, **settings))

        def begin(connect: HostileConnect) -> FaultStack:
            stack.environment["CONNECT_API_URL"] = exits.enter_context(serving(connect)).url
            stack.work("one")
            return stack

        yield begin


def record(stack: FaultStack, name: str) -> RequestRecord | None:
    return stack.ledger().get_record(RequestKey(RequestKind.FULFILLMENT, name))


def ends(stack: FaultStack, name: str, state: State) -> bool:
    found = record(stack, name)
    return found is not None and found.state is state


def assert_the_good_ones_are_approved(stack: FaultStack, connect: HostileConnect) -> None:
    stack.until_soon(
        lambda: all(connect.status.get(name) == "approved" for name in GOOD), "3 are approved"
    )
    stack.until_soon(
        lambda: all(ends(stack, name, State.COMPLETED) for name in GOOD), "and completed"
    )
    assert not stack.ledger().breaker().failures


@pytest.mark.slow
def test_rows_and_documents_of_any_shape_stop_no_other_request(start: Start) -> None:
    """Row 16: each bad request is parked with the reason, or processed where nothing is wrong."""
    names = {title: f"PR-6666-0000-00{number:02}" for number, title in enumerate(ROWS)}
    rows = [text.replace(BAD, names[title]) for title, (text, _) in ROWS.items()]
    connect = HostileConnect(*rows, *(text for text, _ in NAMELESS.values()))
    stack = start(connect)
    assert_the_good_ones_are_approved(stack, connect)
    stack.until_soon(
        lambda: all(
            ends(stack, names[title], State.PARKED if error else State.COMPLETED)
            for title, (_, error) in ROWS.items()
        ),
        "the bad ones are parked, and those with which nothing is wrong completed",
    )
    for title, (_, error) in ROWS.items():
        found = record(stack, names[title])
        assert found is not None
        assert error in found.error, title
        assert connect.status.get(names[title]) == (None if error else "approved"), title

    status = stack.run("status").stdout
    assert "could not use every row" in status
    # Of equal rows one is counted: null and a list are both read as an empty row.
    assert f"{len(NAMELESS) - 1} rows were left out" in " ".join(status.split())
    log = stack.whole_log("one")
    assert all(fault in log for _, fault in list(NAMELESS.values())[:MOST_FAULTS])
    assert log.count("poll.list_rejected") == 0
