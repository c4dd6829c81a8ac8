"""The colours of a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from connect_worker.processing.states import State

STYLES: Mapping[State, str] = {
    State.QUEUED: "",
    State.RUNNING: "cyan",
    State.POSTING: "cyan",
    State.RETRY: "yellow",
    State.WAITING: "blue",
    State.DECIDED: "yellow",
    State.PARKED: "bold red",
    State.SETTLED: "green",
    State.SUPERSEDED: "magenta",
    State.DISCARDED: "dim",
}
