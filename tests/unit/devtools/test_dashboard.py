from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from connect_worker.devtools.dashboard import Dashboard, MergedLog, Throughput
from connect_worker.devtools.processes import Processes
from connect_worker.devtools.verdict import DemoProgress
from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind, State
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.operations.status import KindCounts, count_by_kind

AT_WORK = DemoProgress(
    {
        RequestKind.FULFILLMENT: KindCounts(
            {
                State.QUEUED: 85,
                State.RUNNING: 2,
                State.RETRY: 3,
                State.PARKED: 1,
                State.COMPLETED: 33,
            },
            outcomes={"approved": 21, "failed": 4, "inquired": 8},
        ),
        RequestKind.TIER_CONFIG: KindCounts({State.QUEUED: 30}),
        RequestKind.USAGE_FILE: KindCounts({State.COMPLETED: 7}, outcomes={"submitted": 7}),
        RequestKind.USAGE: KindCounts(),
    },
    {
        RequestKind.FULFILLMENT: 91,
        RequestKind.TIER_CONFIG: 30,
        RequestKind.USAGE_FILE: 0,
        RequestKind.USAGE: 20,
    },
)


@pytest.fixture
def dashboard() -> Dashboard:
    times = iter([0.0, 1.0, 5.0])
    throughput = Throughput(clock=lambda: next(times, 5.0))
    throughput.record(completed=0, active=120)
    throughput.record(completed=40, active=120)
    addresses = {
        "Flower": "http://127.0.0.1:5555",
        "Sandbox": "http://127.0.0.1:41000/sandbox/report",
        "Logs": "/logs",
    }
    return Dashboard(AT_WORK, throughput, addresses)


def drawn(dashboard: Dashboard, *, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(dashboard)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_each_kind_has_one_line(dashboard: Dashboard, width: int) -> None:
    lines = drawn(dashboard, width=width)

    row = next(line for line in lines if line.startswith("fulfillment"))
    assert row.split()[1:5] == ["85", "2", "3", "1"]
    assert "approved 21  failed 4  inquired 8" in row
    assert all(len(line) <= width for line in lines)
    shown = "\n".join(lines)
    assert "40 of 181 completed" in shown
    assert "10.0/s" in shown
    assert "http://127.0.0.1:5555" in shown
    assert "http://127.0.0.1:41000/sandbox/report" in shown


def test_there_is_a_column_for_skipped_requests_only_when_there_are_some(
    dashboard: Dashboard,
) -> None:
    rows = {**AT_WORK.rows, RequestKind.USAGE: KindCounts({State.SNOOZED: 1})}
    skipping = replace(dashboard, progress=replace(AT_WORK, rows=rows))

    assert "Snoozed" not in "\n".join(drawn(dashboard, width=80))
    assert "Snoozed" in "\n".join(drawn(skipping, width=80))


def test_a_worker_that_is_gone_is_named(dashboard: Dashboard) -> None:
    assert (
        "Ended: worker 2." in drawn(replace(dashboard, ended_workers=("worker 2",)), width=80)[-1]
    )


def test_without_a_terminal_it_is_one_line(dashboard: Dashboard) -> None:
    assert dashboard.line == (
        "   5.0 s  queued 115  running 2  retry 3  snoozed 0  parked 1  completed 40  open 141  "
        "(10.0 per second)"
    )


def test_it_is_idle_when_only_parked_requests_are_left() -> None:
    parked = {kind: KindCounts() for kind in RequestKind} | {
        RequestKind.FULFILLMENT: KindCounts({State.PARKED: 1})
    }

    assert DemoProgress(parked, {RequestKind.FULFILLMENT: 1}).is_idle
    assert not DemoProgress(parked, {RequestKind.FULFILLMENT: 2}).is_idle
    assert not DemoProgress(parked, {RequestKind.FULFILLMENT: 1, RequestKind.USAGE_FILE: 1}).is_idle
    assert not DemoProgress(
        {**parked, RequestKind.USAGE: KindCounts({State.SNOOZED: 1})}, {RequestKind.FULFILLMENT: 1}
    ).is_idle


def test_the_ledgers_states_are_counted_under_what_they_mean() -> None:
    ledger = MemoryLedger()
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(5)]
    ledger.register([PendingRequest(ref) for ref in refs], seen_at=ledger.now(), requeue_seconds=60)
    claims = [
        claim
        for ref in refs[1:]
        if isinstance(claim := ledger.claim(ref, owner="w", lease_seconds=60), Claim)
    ]
    ledger.reschedule(claims[0], State.RETRY, delay_seconds=60)
    ledger.park(claims[1], "no")
    ledger.decide(claims[2], {"outcome": "approve"})
    ledger.complete(claims[2], "approved", keep_seconds=60)

    rows = count_by_kind(ledger)

    each = (State.QUEUED, State.RUNNING, State.RETRY, State.PARKED, State.COMPLETED)
    assert rows[RequestKind.FULFILLMENT] == KindCounts(
        dict.fromkeys(each, 1), outcomes={"approved": 1}
    )
    assert rows[RequestKind.USAGE] == KindCounts()


def test_what_a_process_prints_stays_a_line_of_it_and_shows_no_secret(tmp_path: Path) -> None:
    said = r"print('ApiKey SU-123-456-789:canary [red] \x1b[2J\r\u202e\u2028 é ' + 'x' * 200)"
    console = Console(file=io.StringIO(), width=80)
    with Processes(tmp_path) as processes, console.capture() as capture:
        child = processes.start(
            "worker", [sys.executable, "-X", "utf8", "-c", said], environment={}
        )
        child.process.wait(timeout=60)
        MergedLog(console).follow([child])
    shown = r" worker │ ApiKey *** [red] \x1b[2J\r\u202e\u2028 é " + "x" * 200
    assert capture.get() == f"{shown}\n"
