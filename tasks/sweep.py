"""Sweeps, scheduled by beat."""

from __future__ import annotations

from connect_worker.engine import sweep as sweeping
from tasks.app import app
from tasks.wiring import engine


@app.task(name="sweep")
def sweep() -> str:
    """Wake what is due in the ledger and rescue what a dead worker held."""
    return str(sweeping.sweep(engine()))
