"""Looks: a notification has said that Connect has something new."""

from __future__ import annotations

from connect_worker.accounts import at
from connect_worker.engine import look as looking
from connect_worker.processing.notices import Notice
from tasks.app import app
from tasks.facts import of_account
from tasks.messages import takes_notice
from tasks.wiring import accounts, engine


def _define(account: str) -> None:
    @app.task(name=at("look", account), takes=staticmethod(takes_notice))
    def look(notice: str) -> str:
        """Ask Connect for what a notice is about, and enqueue what is new."""
        with of_account(account):
            return looking.look(engine(account), Notice.parse(notice))


for _account in accounts():
    _define(_account)
