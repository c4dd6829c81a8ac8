"""Task events that arrive: Flower shows each job's end only if the worker sent it.

Celery 5.6 drops events when its buffer is flushed: those that another thread adds meanwhile (celery
issue 10434), and those whose sending fails (celery pull requests 10401 and 10417). The jobs are not
concerned, but Flower would show some as RECEIVED for ever. To be deleted when the allowed Celery
versions have the fixes: tests/unit/test_events.py tells.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher


class LosslessDispatcher(EventDispatcher):
    """Sends buffered events, and takes out of the buffer only what it has sent."""

    # What Celery's class has and celery-types does not tell.
    mutex: threading.Lock
    producer: Any
    _outbound_buffer: deque[tuple[Any, ...]]
    _group_buffer: dict[str, list[Any]]
    _publish: Callable[..., None]

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what is buffered; what can't be sent is buffered for the next time."""
        with self.mutex:
            if errors:
                # One that is refused again goes to the end, behind the ones counted here.
                for _ in range(len(self._outbound_buffer)):
                    event, routing_key = self._outbound_buffer.popleft()[:2]
                    self._publish(event, self.producer, routing_key)
            if groups:
                for group, buffer in self._group_buffer.items():
                    # Other threads append to the buffer: what they add comes behind the copy.
                    events = list(buffer)
                    self._publish(events, self.producer, f"{group}.multi")
                    del buffer[: len(events)]


class LosslessEvents(Events):
    """Celery's events, with the dispatcher above."""

    dispatcher_cls = "tasks.events:LosslessDispatcher"
