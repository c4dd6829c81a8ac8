"""Notices in Redis: what notifications have said, until somebody has looked."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from connect_worker.ledger.scripts import Scripts
from connect_worker.ledger.wire import milliseconds
from connect_worker.processing.notices import Heard, Notice

#: So many notices are kept by request; of more, only the kinds.
MOST: Final = 1000


class Notices:
    """The part of `RedisLedger` that receivers of notifications use."""

    _scripts: Scripts

    def notice(
        self, notice: Notice, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[Heard, Notice]:
        """Note a notification down."""
        times = max(1, milliseconds(remember_seconds)), milliseconds(requeue_seconds)
        call = uuid4().hex[:16]
        said, name = self._scripts.run(
            "notice", str(notice), notice.kind, call, *times, MOST, key=f"heard:{digest}"
        )
        return Heard(said), Notice.parse(name)

    def noticed(self, notice: Notice) -> str:
        """Return the mark of the last notification that nobody has followed."""
        mark: str = self._scripts.run("noticed", str(notice))
        return mark

    def answer(self, notice: Notice, mark: str) -> bool:
        """Say that somebody has looked since the notification with this mark."""
        return bool(self._scripts.run("answer", str(notice), mark))

    def put_off(self, notice: Notice, *, seconds: float) -> None:
        """Have another message sent about it after a while."""
        self._scripts.run("put_off", str(notice), milliseconds(seconds))

    def unanswered(self, *, limit: int, requeue_seconds: float) -> list[Notice]:
        """Return the notices that nobody has followed for too long."""
        names = self._scripts.run("unanswered", limit, milliseconds(requeue_seconds))
        return [Notice.parse(name) for name in names]
