"""The deployment's Celery settings; everything else is in `connect_worker.settings.model`.

Connect's pending list and the ledger are the truth, a message is only a wake-up call: so messages
are acknowledged early, none is prefetched, none carries an ETA, and no result is stored.
"""

from kombu import Queue

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import SettingsError
from connect_worker.settings.accounts import accounts_of, at, settings_of
from connect_worker.settings.model import Settings

try:
    settings = Settings.from_env()
    settings_by_account = {name: settings_of(name) for name in accounts_of(settings)}
except SettingsError as error:
    raise SystemExit(f"connect-worker: {error}") from None

broker_url = settings.broker_url
broker_connection_retry_on_startup = True
# Redis may be away for long; a worker that gave up would need a person to start it again.
broker_connection_max_retries = None
# A Redis that is full or read-only answers, and refuses: no reason to exit either.
broker_channel_error_retry = True
worker_consumer = "tasks.celery_support.consumer:PatientConsumer"
# Read off the URL: to ask kombu would import sockets before gevent has put its own in their place.
ON_REDIS = broker_url.startswith(("redis", "sentinel"))
if ON_REDIS:
    broker_transport_options = {
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
    }

# Of what others may have written to the broker, nothing but JSON is read.
accept_content = ["json"]
task_serializer = event_serializer = result_serializer = "json"
result_backend = None
task_ignore_result = True

task_acks_late = False
# Celery can do so on Redis only. On RabbitMQ a worker holds up to one message more for each of its
# processes, and what waits there too long the sweep sends to others.
worker_disable_prefetch = ON_REDIS
worker_prefetch_multiplier = 1
# By default Celery takes fewer messages after a lost connection, and more again with each job that
# begins: under threads from the pool's threads, whose talk on the worker's own connection to
# RabbitMQ blocks it for ever (tests/faults/test_rabbitmq.py).
worker_enable_prefetch_count_reduction = False

#: Polls and sweeps have a queue of their own, so that a backlog of jobs does not hold them up.
CONTROL_QUEUE = "control"
#: And each account its own ones, so that its backlog does not stand before another's.
task_queues = [
    Queue(at(name, account))
    for account, chosen in settings_by_account.items()
    for name in (CONTROL_QUEUE, *(kind.value for kind in RequestKind), *chosen.queues)
]
task_default_queue = task_queues[0].name
task_create_missing_queues = False

# Flower shows what these events tell.
worker_send_task_events = True
task_send_sent_event = True
# A worker's log lines are formatted by connect_worker.logger.
worker_redirect_stdouts = False

# Polls are due every few seconds: a schedule file would only remember what the next poll finds
# anyway.
beat_scheduler = "tasks.celery_support.beat:TerseScheduler"
beat_schedule = {}
for account, chosen in settings_by_account.items():
    # Without a name an entry says no queue: it is the default one.
    options = {"options": {"queue": at(CONTROL_QUEUE, account)}} if account else {}
    for kind, seconds in chosen.poll_seconds.items():
        entry = {"task": at("poll", account), "schedule": seconds, "args": [kind], **options}
        beat_schedule[at(f"poll {kind}", account)] = entry
    entry = {"task": at("sweep", account), "schedule": chosen.sweep_seconds, **options}
    beat_schedule[at("sweep", account)] = entry
