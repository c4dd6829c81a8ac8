"""The Celery application: `celery -A tasks worker`, `… beat`, `… flower`.

Each task is one call of the engine. Nothing else in the project imports Celery.
"""

from tasks import poll, process, refresh, sweep
from tasks.app import app
from tasks.celery_support import flower, liveness, signals

__all__ = ["app", "flower", "liveness", "poll", "process", "refresh", "signals", "sweep"]
