"""Polls, scheduled by beat."""

from __future__ import annotations

from connect_worker.engine import poll as polling
from connect_worker.processing.states import Kind
from tasks.app import app
from tasks.messages import takes_kind
from tasks.wiring import engine


@app.task(name="poll", takes=staticmethod(takes_kind))
def poll(kind: str) -> str:
    """Read what waits in Connect for one kind and enqueue what is new."""
    return str(polling.poll(engine(), Kind(kind)))


@app.task(name="poll.now", takes=staticmethod(takes_kind))
def poll_now(kind: str) -> str:
    """Do the same because a person asks for it, however short ago the last poll was."""
    return str(polling.poll(engine(), Kind(kind), is_asked_for=True))
