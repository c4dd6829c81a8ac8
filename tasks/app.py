"""The application object, configured by `celeryconfig.py`."""

from celery import Celery

app = Celery(
    "connect-worker", events="tasks.events:LosslessEvents", task_cls="tasks.brief:BriefTask"
)
app.config_from_object("celeryconfig")
