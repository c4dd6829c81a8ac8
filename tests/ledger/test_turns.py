"""Contract of `take_turn`: may one more call to Connect be sent?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.engine.ports import Ledger
from connect_worker.processing.states import Turn

Elapse = Callable[[float], None]


def test_without_a_pause_a_call_may_be_sent(ledger: Ledger) -> None:
    assert ledger.take_turn() == Turn()


def test_a_pause_tells_its_length_and_its_reason(ledger: Ledger) -> None:
    ledger.close_gate(seconds=60, reason="429", failed=False)
    turn = ledger.take_turn()
    assert turn.paused_seconds == pytest.approx(60, abs=5)
    assert turn.reason == "429"


def test_a_pause_that_is_over_is_none_even_when_its_failures_are_counted(
    ledger: Ledger, elapse: Elapse
) -> None:
    ledger.close_gate(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert ledger.take_turn() == Turn()
    assert ledger.gate().failures == 1


def test_failures_that_are_only_counted_are_no_pause(ledger: Ledger) -> None:
    ledger.close_gate(seconds=0, reason="500", failed=True)
    assert ledger.take_turn() == Turn()
