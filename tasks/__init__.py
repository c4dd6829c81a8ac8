"""The Celery application: `celery -A tasks worker`, `… beat`, `… flower`.

One file has the application (`app`), one has each task: `poll`, `process`, `refresh`, `sweep`. Each
task is one call into the engine. `celery_support` adapts Celery and Flower. Nothing else imports
Celery.
"""

from tasks import poll, process, refresh, sweep
from tasks.app import app
from tasks.celery_support import beat, flower, signals

__all__ = ["app", "beat", "flower", "poll", "process", "refresh", "signals", "sweep"]
