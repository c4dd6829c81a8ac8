"""The tasks `poll` and `poll.now`: find what is pending in Connect. Beat sends a poll regularly."""

from __future__ import annotations

from connect_worker.domain.states import RequestKind
from connect_worker.engine import poller
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import accepts_kind
from tasks.celery_support.bootstrap import account_names, bind_account, runtime


def _define(account: str) -> None:
    @app.task(name=at("poll", account), validates=staticmethod(accepts_kind))
    def poll(kind: str) -> str:
        """Read the pending requests of one kind from Connect, and enqueue the new ones."""
        with bind_account(account):
            return str(poller.poll(runtime(account), RequestKind(kind)))

    @app.task(name=at("poll.now", account), validates=staticmethod(accepts_kind))
    def poll_now(kind: str) -> str:
        """Do the same because an operator asks for it, however short ago the last poll was."""
        with bind_account(account):
            return str(poller.poll(runtime(account), RequestKind(kind), is_asked_for=True))


for _account in account_names():
    _define(_account)
