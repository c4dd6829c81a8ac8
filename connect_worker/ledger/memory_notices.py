"""Notices in memory; it does what `ledger/notices.py` does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import RLock
from uuid import uuid4

from connect_worker.ledger.notices import MOST
from connect_worker.ledger.wire import milliseconds
from connect_worker.processing.notices import Heard, Notice


class MemoryNotices(ABC):
    """The part of `MemoryLedger` that receivers of notifications use."""

    _lock: RLock

    def __init__(self) -> None:
        #: By name, the mark of the last notification, and when another message is due.
        self._notices: dict[Notice, tuple[str, int]] = {}
        #: Until when each notification is remembered.
        self._heard: dict[str, int] = {}

    @abstractmethod
    def _now(self) -> int:
        """Return the clock, in milliseconds."""

    def notice(
        self, notice: Notice, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[Heard, Notice]:
        """Note a notification down."""
        with self._lock:
            now, mark = self._now(), uuid4().hex[:16]
            self._heard = {one: until for one, until in self._heard.items() if until > now}
            if digest in self._heard:
                return Heard.REPLAYED, notice
            self._heard[digest] = now + max(1, milliseconds(remember_seconds))
            if notice not in self._notices and len(self._notices) >= MOST:
                notice = notice.whole
            if notice in self._notices:
                self._notices[notice] = mark, self._notices[notice][1]
                return Heard.KNOWN, notice
            self._notices[notice] = mark, now + milliseconds(requeue_seconds)
            return Heard.NEW, notice

    def noticed(self, notice: Notice) -> str:
        """Return the mark of the last notification that nobody has followed."""
        with self._lock:
            return self._notices.get(notice, ("", 0))[0]

    def answer(self, notice: Notice, mark: str) -> bool:
        """Say that somebody has looked since the notification with this mark."""
        with self._lock:
            if notice in self._notices and self._notices[notice][0] != mark:
                return False
            self._notices.pop(notice, None)
            return True

    def put_off(self, notice: Notice, *, seconds: float) -> None:
        """Have another message sent about it after a while."""
        with self._lock:
            if notice in self._notices:
                due = self._now() + milliseconds(seconds)
                self._notices[notice] = self._notices[notice][0], due

    def unanswered(self, *, limit: int, requeue_seconds: float) -> list[Notice]:
        """Return the notices that nobody has followed for too long."""
        with self._lock:
            now = self._now()
            due = sorted((at, str(one), one) for one, (_, at) in self._notices.items() if at <= now)
            found = [one for _, _, one in due[:limit]]
            for one in found:
                self._notices[one] = self._notices[one][0], now + milliseconds(requeue_seconds)
            return found
