"""The time of a run: it passes or the run ends, never both."""

from __future__ import annotations

import sys
import threading
from queue import SimpleQueue

import pytest

from connect_worker.engine.runtime import NullProcessKiller
from connect_worker.engine.time_limit import Deadline, place_of
from connect_worker.exceptions import LeaseLost

LONG = 3600.0


class Noting(NullProcessKiller):
    """A reaper that notes each call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def arm(self, seconds: float) -> None:
        self.calls.append(f"arm {seconds:g}")

    def disarm(self) -> None:
        self.calls.append("disarm")


def test_a_run_that_ends_in_time_is_left_alone() -> None:
    over: SimpleQueue[float] = SimpleQueue()
    reaper = Noting()
    deadline = Deadline(lambda seconds, place: over.put(seconds), reaper)
    deadline.start(LONG)
    deadline.end()
    deadline.end()
    deadline._pass(LONG, 0)
    assert over.empty()
    assert reaper.calls[:2] == ["arm 3600", "disarm"]


def test_a_run_that_takes_longer_is_reported_when_it_ends() -> None:
    over: SimpleQueue[float] = SimpleQueue()
    deadline = Deadline(lambda seconds, place: over.put(seconds), NullProcessKiller())
    deadline.start(0.01)
    assert over.get(timeout=20) == 0.01
    with pytest.raises(LeaseLost, match="time_limit is over"):
        deadline.end()


def test_a_late_run_ends_when_its_request_is_given_back_and_not_before() -> None:
    """Else the next job would begin in a process that is about to be killed."""
    has_begun, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    def give_back(seconds: float, place: str) -> None:
        has_begun.set()
        assert may_end.wait(20)
        order.append("given back")

    deadline = Deadline(give_back, NullProcessKiller())
    deadline.start(0.01)
    assert has_begun.wait(20)
    threading.Timer(0.2, may_end.set).start()
    with pytest.raises(LeaseLost):
        deadline.end()
    order.append("ended")
    assert order == ["given back", "ended"]


def test_a_run_without_a_limit_may_end_whenever_it_likes() -> None:
    reaper = Noting()
    Deadline(lambda seconds, place: None, reaper).end()
    assert reaper.calls == []


def test_the_place_is_the_innermost_one_of_the_users_code() -> None:
    is_inside, may_go = threading.Event(), threading.Event()

    def process_request() -> None:
        deep()

    def deep() -> None:
        is_inside.set()
        may_go.wait(timeout=60)

    thread = threading.Thread(target=process_request)
    thread.start()
    is_inside.wait(timeout=60)
    place = place_of(sys._current_frames()[thread.ident or 0])
    may_go.set()
    thread.join()
    assert place.startswith("test_time_limit.py, line ")
    assert place.endswith(", in deep")


def test_nobody_knows_the_place_of_what_is_no_processor() -> None:
    assert place_of(sys._getframe()) == place_of(None) == ""
