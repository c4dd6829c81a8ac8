"""Polls, scheduled by beat."""

from __future__ import annotations

from connect_worker.engine import poll as polling
from connect_worker.processing.states import Kind
from tasks.app import app
from tasks.wiring import engine


@app.task(name="poll")
def poll(kind: str, is_asked_for: bool = False) -> str:
    """Read what waits in Connect for one kind and enqueue what is new."""
    return str(polling.poll(engine(), Kind(kind), is_asked_for=is_asked_for))
