"""Polls, scheduled by beat."""

from __future__ import annotations

from connect_worker.domain.states import RequestKind
from connect_worker.engine import poller as polling
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import takes_kind
from tasks.celery_support.bootstrap import accounts, engine
from tasks.celery_support.signals import of_account


def _define(account: str) -> None:
    @app.task(name=at("poll", account), validates=staticmethod(takes_kind))
    def poll(kind: str) -> str:
        """Read what waits in Connect for one kind and enqueue what is new."""
        with of_account(account):
            return str(polling.poll(engine(account), RequestKind(kind)))

    @app.task(name=at("poll.now", account), validates=staticmethod(takes_kind))
    def poll_now(kind: str) -> str:
        """Do the same because a person asks for it, however short ago the last poll was."""
        with of_account(account):
            return str(polling.poll(engine(account), RequestKind(kind), is_asked_for=True))


for _account in accounts():
    _define(_account)
