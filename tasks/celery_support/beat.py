"""Beat: short errors while the broker is away, first polls at the start, and a steady clock.

Answers gaps of Celery 5.6:

- Beat logs two tracebacks for each message that it can't send, so that an outage of the broker
  fills the log: `BeatScheduler`. tests/unit/tasks/test_startup.py reads the log of beat in an
  outage.
- Nothing shows whether beat hangs: each tick touches `CONNECT_HEARTBEAT_FILE`, and so does each
  attempt to reach the broker, because one tick waits until it answers.
  tests/acceptance/test_probes.py.
- Beat sends a message first when its interval has passed: `send_first_messages`.
  tests/acceptance/test_end_to_end.py needs polls within seconds of the start.
- A RabbitMQ that refuses the user or the virtual host ends beat with a traceback:
  `_ensure_connected`; tests/faults/test_rabbitmq.py.
- Beat prints a banner where its log is JSON: `QuietBeat`.
  tests/acceptance/security/test_log_streams.py.
- Beat compares times of day. When the clock is set back by an hour, nothing is due for an hour:
  `SteadyEntry`. tests/faults/test_wrong_clocks.py sets a clock back and forward.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import AMQPError
from celery.apps.beat import Beat
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from celery.schedules import schedstate
from celery.signals import beat_init
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from connect_worker.exceptions import LedgerUnavailable, SettingsError
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.logging import writes_json
from connect_worker.observability.output import refuse_start
from tasks.app import app
from tasks.celery_support.bootstrap import account_names, settings, warn_of_typos
from tasks.celery_support.remote_control import describe_failure
from tasks.celery_support.signals import check_queues, touch_heartbeat_file

#: How long beat waits before it tries a broker again that refuses the connection.
PAUSE_SECONDS = 5


class QuietBeat(Beat):
    """Celery's beat; without a banner where that would be no line of the log."""

    quiet: bool

    def run(self) -> None:
        """Run until a signal."""
        self.quiet = self.quiet or writes_json(settings().log_format, sys.__stderr__)
        super().run()


vars(app)["Beat"] = app.subclass_with_self(QuietBeat, name="Beat", reverse="Beat")


class SteadyEntry(ScheduleEntry):
    """An entry with a fixed interval, which is due by a clock that nobody sets."""

    # celery-types does not know of the seconds of an interval.
    schedule: Any

    def default_now(self) -> datetime:
        """Return the seconds since the machine started, as a time."""
        return datetime.fromtimestamp(time.monotonic(), UTC)

    def is_due(self) -> schedstate:
        """Return whether to send the message now, and the seconds until the next one."""
        seconds: float = self.schedule.seconds
        passed = self.default_now() - (self.last_run_at or self.default_now())
        left = seconds - passed.total_seconds()
        return schedstate(True, seconds) if left <= 0 else schedstate(False, left)


class BeatScheduler(Scheduler):
    """Celery's in-memory scheduler. It needs no file: the next poll finds what a missed one would
    have found."""

    Entry = SteadyEntry

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until the next tick."""
        touch_heartbeat_file()
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def _ensure_connected(self) -> Any:
        """Connect, and wait for a broker that refuses the connection like for one that is away."""

        def report(error: Exception, seconds: float) -> None:
            touch_heartbeat_file()
            logger.error(
                LogEvent("beat.broker_unreachable", error=error, retry_in=f"{seconds:g} s")
            )

        retries = self.app.conf.broker_connection_max_retries
        while True:
            # At first, and after each error: it waits 30 seconds at most between two attempts.
            touch_heartbeat_file()
            try:
                connection = self.connection.ensure_connection(report, retries)
                _require_queues(self.connection)
            except (AMQPError, LedgerUnavailable, RedisError) as error:
                text = describe_failure(error)
                logger.error(LogEvent("beat.broker_rejected", seconds=PAUSE_SECONDS, error=text))
                time.sleep(PAUSE_SECONDS)
            else:
                return connection

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send an entry that is due. While the broker is unreachable, it stays due for later."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            # The traceback would show Celery's own calls, the same at each poll of an outage.
            logger.error(LogEvent("beat.message_not_sent", entry=entry.name, error=error))


def _require_queues(connection: Any) -> None:
    """Refuse the queues of another deployment: its workers would get this one's messages.

    Raises:
        SystemExit: With the reason and the remedy.
    """
    if problem := check_queues(connection):
        refuse_start(problem.message)


@beat_init.connect
def send_first_messages(**_: Any) -> None:
    """Send polls and sweeps at once, not only after a first interval."""
    warn_of_typos()
    for account in account_names():
        try:
            settings(account).config()
        except SettingsError as error:
            # Beat itself calls no account, so that it need not know the key.
            logger.warning(LogEvent("beat.account_missing", error=error))
    try:
        with app.connection_for_write() as connection:
            _require_queues(connection)
    except (OperationalError, AMQPError, LedgerUnavailable, OSError, RedisError) as error:
        # `BeatScheduler` checks them when it has connected.
        logger.error(LogEvent("beat.broker_unreachable", error=error))
        return
    for name, entry in app.conf.beat_schedule.items():
        queue = entry.get("options", {}).get("queue", app.conf.task_default_queue)
        try:
            app.send_task(entry["task"], entry.get("args", ()), queue=queue)
        except (OperationalError, AMQPError, RedisError) as error:
            logger.error(LogEvent("beat.message_not_sent", entry=name, error=error))
            return
