from __future__ import annotations

import math

import pytest

from connect_worker.domain.metrics import BOUNDS_MS, Durations, bound_of


def test_without_cycles_there_is_no_quantile() -> None:
    assert Durations().quantile(0.5) is None
    assert Durations().total == 0


def test_a_quantile_lies_between_the_bounds_of_its_cycles() -> None:
    found = Durations({0.1: 50, 5.0: 45, 60.0: 5})
    assert found.quantile(0.5) == pytest.approx(0.1)
    # 90 of 100: 40 of the 45 between two and five seconds.
    assert found.quantile(0.9) == pytest.approx(2 + 3 * 40 / 45)
    assert found.quantile(1.0) == 60.0


def test_what_is_longer_than_all_bounds_counts_as_the_last_one() -> None:
    assert bound_of(BOUNDS_MS[-1] + 1) == math.inf
    assert Durations({math.inf: 3}).quantile(0.5) == BOUNDS_MS[-1] / 1000


def test_durations_are_added_up() -> None:
    total = Durations.sum([Durations({1.0: 2, 2.0: 1}), Durations(), Durations({1.0: 3})])
    assert total == Durations({1.0: 5, 2.0: 1})
