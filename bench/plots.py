"""Draws the curves as PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from bench.sample import Curve


def draw(curve: Curve, path: Path) -> None:
    """Draw one plot: the medians as lines, the spread as bars."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in curve.series.items():
        positions = [position for position, _ in points]
        medians = [sample.median for _, sample in points]
        low = [sample.median - sample.spread[0] for _, sample in points]
        high = [sample.spread[1] - sample.median for _, sample in points]
        axes.errorbar(positions, medians, yerr=[low, high], marker="o", capsize=3, label=name)
    axes.set_title(curve.title, fontsize="medium")
    axes.set_xlabel(curve.along)
    axes.set_ylabel("requests/s")
    if curve.name == "backlog":
        axes.set_xscale("log")
    if curve.name == "latency":
        # On a linear axis the SDK's loop would be invisible.
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
