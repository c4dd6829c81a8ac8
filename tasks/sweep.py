"""Sweeps, scheduled by beat."""

from __future__ import annotations

from connect_worker.engine import sweeper as sweeping
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.bootstrap import accounts, engine
from tasks.celery_support.signals import of_account


def _define(account: str) -> None:
    @app.task(name=at("sweep", account))
    def sweep() -> str:
        """Wake what is due in the ledger and rescue what a dead worker held."""
        with of_account(account):
            return str(sweeping.sweep(engine(account)))


for _account in accounts():
    _define(_account)
