"""API calls per approved request, counted by the stand-in."""

from __future__ import annotations

from collections.abc import Iterator

from bench.jobs import Load, Run, run_ours, run_sdk
from bench.sample import Row, Sample, Target
from bench.testbed import Testbed
from bench.throughput import PREFORK


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield a row with the conversation message, and one without."""
    count = testbed.size(100, quick=20)
    for conversations, words, limit in ((True, "with", 4), (False, "without", 2)):
        load = Load(count, conversations=conversations)
        settings = {} if conversations else {"CONNECT_SAY_ACTIVATED": "false"}
        ours, peer = run_ours(testbed, load, PREFORK, **settings), run_sdk(testbed, load)
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
