"""The application object, configured by `celeryconfig.py`."""

from celery import Celery

app = Celery("connect-worker", events="tasks.events:LosslessEvents")
app.config_from_object("celeryconfig")
