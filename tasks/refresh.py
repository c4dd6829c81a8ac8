"""Looks: a notification has said that Connect has something new."""

from __future__ import annotations

from connect_worker.domain.kinds import ChangeHint
from connect_worker.engine import refresher as looking
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import takes_notice
from tasks.celery_support.bootstrap import accounts, engine
from tasks.celery_support.signals import of_account


def _define(account: str) -> None:
    @app.task(name=at("refresh", account), validates=staticmethod(takes_notice))
    def refresh(notice: str) -> str:
        """Ask Connect for what a notice is about, and enqueue what is new."""
        with of_account(account):
            return looking.refresh(engine(account), ChangeHint.parse(notice))


for _account in accounts():
    _define(_account)
