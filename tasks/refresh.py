"""The task `refresh`: ask Connect for what a webhook said has changed."""

from __future__ import annotations

from connect_worker.domain.kinds import ChangeHint
from connect_worker.engine import poller
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import accepts_hint
from tasks.celery_support.bootstrap import account_names, bind_account, runtime


def _define(account: str) -> None:
    @app.task(name=at("refresh", account), validates=staticmethod(accepts_hint))
    def refresh(hint: str) -> str:
        """Read from Connect what a change hint names, and enqueue what is new."""
        with bind_account(account):
            return poller.refresh(runtime(account), ChangeHint.parse(hint))


for _account in account_names():
    _define(_account)
