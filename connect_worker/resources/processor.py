"""An automation as the engine's processor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from connect_worker.api import to_query
from connect_worker.api.rql import statuses_of
from connect_worker.config import Config, use_config
from connect_worker.engine.job import Job
from connect_worker.engine.ports import Connect
from connect_worker.logger import LogEvent, logger
from connect_worker.processing.kinds import KINDS, product_of, status_of, visit_of
from connect_worker.processing.states import JSON, Kind, Ref, Sighting
from connect_worker.resources.automation import Automation
from connect_worker.resources.usage import UsageAutomation


class AutomationProcessor:
    """Runs one automation for the engine.

    Args:
        kind: The automation's kind.
        make: Makes the automation; called once per process, so that what its constructor opens is
            never shared across a fork.
        config: The account, in force while user code runs.
    """

    def __init__(self, kind: Kind, make: Callable[[], Automation[Any]], config: Config) -> None:
        self.kind = kind
        self._make = make
        self._config = config
        self._made: tuple[int, Automation[Any]] | None = None
        self._lock = threading.Lock()

    @property
    def automation(self) -> Automation[Any]:
        """This process's instance of the automation."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                with use_config(self._config):
                    self._made = (os.getpid(), self._make())
            return self._made[1]

    def awaits(self, document: JSON) -> bool:
        """Whether the document is in a status that the automation's filters ask for."""
        with use_config(self._config):
            asked = statuses_of(to_query(self.automation.filters()))
        return status_of(document) in (asked or {KINDS[self.kind].waiting})

    def sightings(self, connect: Connect, *, now: float) -> Iterator[Sighting]:
        """List what waits for this automation; `now` in seconds since the epoch.

        An overridden `list` is asked; otherwise the rows are read without making models of them.
        """
        with use_config(self._config):
            automation = self.automation
            rows = self._rows(automation, connect)
        for row in rows:
            if not row.get("id"):
                logger.error(LogEvent("row without id", kind=self.kind, path=KINDS[self.kind].path))
                continue
            visit = (
                automation.period_name(now)
                if isinstance(automation, UsageAutomation)
                else visit_of(self.kind, row)
            )
            yield Sighting(Ref(self.kind, str(row["id"])), visit, product_of(self.kind, row))

    def run(self, document: JSON, job: Job) -> None:
        """Process one request with a copy of the automation that is bound to the job."""
        with use_config(self._config):
            automation = self.automation._for_job(job)
            automation.dispatch(automation.load(document))

    def _rows(self, automation: Automation[Any], connect: Connect) -> Iterator[dict[str, JSON]]:
        if type(automation).list is not Automation.list:
            return (dict(model.json) for model in automation.list())
        return iter(connect.get_all(KINDS[self.kind].path, automation.query()))
