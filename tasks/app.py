"""The application object, configured by `celeryconfig.py`."""

from celery import Celery

app = Celery("connect-worker")
app.config_from_object("celeryconfig")
