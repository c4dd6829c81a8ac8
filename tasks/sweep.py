"""The task `sweep`: enqueue what is due, and rescue what stopped. Beat sends it regularly."""

from __future__ import annotations

from connect_worker.engine import sweeper
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.bootstrap import account_names, bind_account, runtime


def _define(account: str) -> None:
    @app.task(name=at("sweep", account))
    def sweep() -> str:
        """Enqueue what is due, and what a dead worker or a lost message left behind."""
        with bind_account(account):
            return str(sweeper.sweep(runtime(account)))


for _account in account_names():
    _define(_account)
