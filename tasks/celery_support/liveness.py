"""A sign of life for probes: a file, touched while the worker hears its broker.

A probe that looks at its age costs nothing; `celery inspect ping` starts a Python and writes to the
broker each time. Celery's heartbeat comes every two seconds, from the loop that takes messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent

from connect_worker.logger import LogEvent, logger
from tasks.celery_support.bootstrap import settings


@heartbeat_sent.connect
def touch(**_: Any) -> None:
    """Touch `CONNECT_HEARTBEAT_FILE`, when there is one."""
    if name := settings().heartbeat_file:
        try:
            Path(name).touch()
        except OSError as error:
            logger.warning(LogEvent("worker.liveness_failed", file=name, error=error))
