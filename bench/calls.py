"""API calls per approved request, counted where they arrive."""

from __future__ import annotations

from collections.abc import Iterator

from bench.jobs import Load, Run, run_ours, run_sdk
from bench.place import Place
from bench.sample import Row, Sample, Target
from bench.throughput import PREFORK


def measure(place: Place) -> Iterator[Row]:
    """Yield a row with the conversation message, and one without."""
    count = place.size(100, quick=20)
    for conversations, words, limit in ((True, "with", 4), (False, "without", 2)):
        load = Load(count, conversations=conversations)
        said = {} if conversations else {"CONNECT_SAY_ACTIVATED": "false"}
        ours, peer = run_ours(place, load, PREFORK, **said), run_sdk(place, load)
        yield Row(
            what=f"API calls per approved request, {words} the conversation message",
            measured=_calls(ours),
            unit="calls",
            target=Target(limit),
            peer="connect-sdk 22.0",
            ours=_calls(ours),
            theirs=_calls(peer),
            side_unit="calls",
            facts={"ours": ours.report["calls"], "peer": peer.report["calls"]},
        )


def _calls(run: Run) -> Sample:
    return Sample((run.calls_per_request,))
