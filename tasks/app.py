"""The application object, configured by `celeryconfig.py`."""

from celery import Celery

app = Celery(
    "connect-worker",
    amqp="tasks.celery_support.transport:CheckedAMQP",
    events="tasks.celery_support.consumer:LosslessEvents",
    task_cls="tasks.celery_support.base_task:BaseTask",
)
app.config_from_object("celeryconfig")
