"""Sweeps, scheduled by beat."""

from __future__ import annotations

from connect_worker.accounts import at
from connect_worker.engine import sweep as sweeping
from tasks.app import app
from tasks.facts import of_account
from tasks.wiring import accounts, engine


def _define(account: str) -> None:
    @app.task(name=at("sweep", account))
    def sweep() -> str:
        """Wake what is due in the ledger and rescue what a dead worker held."""
        with of_account(account):
            return str(sweeping.sweep(engine(account)))


for _account in accounts():
    _define(_account)
