"""The benchmark's report: ratios pair by pair, and a page that keeps its own text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.report import BEGIN, END, Results, markdown, with_results
from bench.sample import Curve, Pairs, Row, Sample, Target, in_turns, ratio_row


def test_sides_are_measured_in_turns() -> None:
    order: list[str] = []

    def side(name: str, value: float) -> float:
        order.append(name)
        return value

    pairs = in_turns(2, lambda: side("A", 3.0), lambda: side("B", 2.0))
    assert order == ["A", "B", "A", "B"]
    assert pairs.ratios.values == (1.5, 1.5)


def test_a_ratio_is_the_median_over_the_pairs() -> None:
    pairs = Pairs(Sample((1.0, 8.0, 30.0)), Sample((2.0, 4.0, 10.0)))
    row = ratio_row("rate", pairs, peer="", side_unit="", target=Target(2.0, at_least=True))
    assert row.measured == Sample((0.5, 2.0, 3.0))
    assert row.holds
    faster = ratio_row("time", pairs, peer="", side_unit="", speedup=True)
    assert faster.measured == Sample((2.0, 0.5, 1 / 3))


@pytest.mark.parametrize(
    ("target", "value", "holds"),
    [
        (Target(2), 2.0, True),
        (Target(2), 2.1, False),
        (Target(2, at_least=True), 2.0, True),
        (Target(2, at_least=True), 1.9, False),
    ],
)
def test_a_target_holds_at_its_limit(target: Target, value: float, holds: bool) -> None:
    assert target.holds(value) is holds


def test_what_was_not_measured_says_so() -> None:
    row = Row(what="memory", measured=None, unit="MB", missing="no /proc here")
    page = markdown(Results({"python": "3"}, quick=False, rows=[row]))
    assert "| memory | not measured |" in page
    assert "no /proc here" in page


def test_the_pages_own_text_stays() -> None:
    results = Results({"python": "3"}, quick=True)
    once = with_results(f"before\n{BEGIN}\nold\n{END}\nafter\n", markdown(results))
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert with_results(once, markdown(results)) == once


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        with_results("text", "")


def test_a_report_is_read_as_it_was_written() -> None:
    pairs = Pairs(Sample((1.0, 8.0)), Sample((2.0, 4.0)))
    rows = [
        ratio_row("rate", pairs, peer="it", side_unit="s", target=Target(2.0), calls=[4.0]),
        Row(what="memory", measured=None, unit="MB", missing="no /proc here"),
    ]
    curves = [Curve("one", "One", "x", {"a": [(1.0, Sample((2.0,)))]})]
    results = Results({"python": "3"}, quick=False, rows=rows, curves=curves)
    assert Results.from_json(results.to_json()) == results
    written = Path(__file__).parents[3] / "docs" / "benchmarks.json"
    assert json.loads(Results.from_json(written.read_text()).to_json()) == json.loads(
        written.read_text()
    )


def test_a_repeated_figure_replaces_its_row_and_shows_its_date() -> None:
    old = [Row(what=name, measured=Sample((1.0,)), unit="s") for name in ("a", "b", "c")]
    results = Results({}, quick=False, rows=old)
    results.put(Row(what="b", measured=Sample((2.0,)), unit="s", peer="it", taken_at="today"))
    results.put(Row(what="d", measured=Sample((3.0,)), unit="s"))
    assert [row.what for row in results.rows] == ["a", "b", "c", "d"]
    assert "| b | 2 s |  |  |  |  | it; taken today |" in markdown(results)
