"""The Celery application: `celery -A tasks worker`, `… beat`, `… flower`.

Each task is one call of the engine. Nothing else in the project imports Celery.
"""

from tasks import alive, console_link, flower, lines, poll, process, startup, sweep
from tasks.app import app

__all__ = ["alive", "app", "console_link", "flower", "lines", "poll", "process", "startup", "sweep"]
