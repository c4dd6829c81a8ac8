"""Sends the workers' messages, one behind the other, where a silent broker holds nobody up."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from connect_worker.domain.kinds import ChangeHint
from connect_worker.logger import LogEvent

log: Final = logging.getLogger("connect_worker.webhook")

#: Of more that wait the sweep sends the messages.
MOST_WAITING: Final = 1000
#: How long an end waits for what is still to be sent.
PATIENCE_SECONDS: Final = 2.0

Notify = Callable[[Iterable[ChangeHint]], None]


class Messenger:
    """A thread that sends; a daemon, for the broker may leave it waiting for ever."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Notify, ChangeHint]] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._run, name="messenger", daemon=True).start()

    def send(self, notify: Notify, notice: ChangeHint) -> None:
        """Have a message sent soon; with too many before it, by the sweep."""
        try:
            self._waiting.put_nowait((notify, notice))
        except queue.Full:
            return

    def close(self) -> None:
        """Wait a moment for what is still to be sent."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._waiting.unfinished_tasks and time.monotonic() < give_up:
            time.sleep(0.02)

    def _run(self) -> None:
        while True:
            notify, notice = self._waiting.get()
            try:
                notify([notice])
            except Exception:
                # Whatever the broker's client raises: the sweep sends another one.
                log.exception(LogEvent("webhook.publish_failed", notice=notice))
            finally:
                self._waiting.task_done()
