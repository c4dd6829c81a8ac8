"""Polls, scheduled by beat."""

from __future__ import annotations

from connect_worker.accounts import at
from connect_worker.engine import poll as polling
from connect_worker.processing.states import Kind
from tasks.app import app
from tasks.facts import of_account
from tasks.messages import takes_kind
from tasks.wiring import accounts, engine


def _define(account: str) -> None:
    @app.task(name=at("poll", account), takes=staticmethod(takes_kind))
    def poll(kind: str) -> str:
        """Read what waits in Connect for one kind and enqueue what is new."""
        with of_account(account):
            return str(polling.poll(engine(account), Kind(kind)))

    @app.task(name=at("poll.now", account), takes=staticmethod(takes_kind))
    def poll_now(kind: str) -> str:
        """Do the same because a person asks for it, however short ago the last poll was."""
        with of_account(account):
            return str(polling.poll(engine(account), Kind(kind), is_asked_for=True))


for _account in accounts():
    _define(_account)
