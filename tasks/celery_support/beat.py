"""Beat's scheduler: a poll that can't be sent is one line, not two tracebacks."""

from __future__ import annotations

from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from connect_worker.logger import LogEvent, logger


class TerseScheduler(Scheduler):
    """Celery's in-memory scheduler. It has no file: the next poll finds what a file would tell."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send what is due; while the broker is away it is not sent, and due again later."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            # The traceback would show Celery's own calls, the same at each poll of an outage.
            logger.error(LogEvent("beat.message_not_sent", entry=entry.name, error=error))
