"""The log of workers and of beat: this project's lines, Celery's own ones included."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import after_setup_logger, after_setup_task_logger, celeryd_init

from connect_worker.log_lines import prepare_handler
from connect_worker.logger import bound_facts
from tasks.wiring import settings


class TaskFacts(logging.Filter):
    """Gives Celery's lines about a task (received, succeeded, …) its request and name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts and let the record pass."""
        told = getattr(record, "data", None)
        if isinstance(told, dict) and "id" in told and "name" in told:
            # A job's id is its request's and a random part; a poll's is random.
            request = str(told["id"]).rpartition(".")[0]
            about = (
                {"request": request, "task": told["name"]} if request else {"task": told["name"]}
            )
            record.facts = {**bound_facts(), **about}
        return True


@celeryd_init.connect
def format_first_lines(**_: Any) -> None:
    """Write what a worker's checks say before Celery has set its log up like all the rest."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    prepare_handler(handler, settings().log_format)
    logging.lastResort = handler


@after_setup_logger.connect
@after_setup_task_logger.connect
def format_log(logger: logging.Logger, **_: Any) -> None:
    """Write one line an event, with the facts of its job and without secrets."""
    for handler in logger.handlers:
        handler.addFilter(TaskFacts())
        prepare_handler(handler, settings().log_format)
