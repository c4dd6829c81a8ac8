"""The deployment's Celery settings; all other settings are in `connect_worker.settings.model`.

Connect's pending list and the ledger are the truth, and a message is only a wake-up call. So
messages are acknowledged early, none is prefetched, none carries an ETA, and no result is stored.
"""

from kombu import Queue

from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import SettingsError
from connect_worker.observability.output import refuse_start
from connect_worker.settings.accounts import accounts_of, at, settings_of
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import celery_broker, refuse_celery_variables

try:
    refuse_celery_variables()
    settings = Settings.from_env()
    settings_by_account = {name: settings_of(name) for name in accounts_of(settings)}
except SettingsError as error:
    refuse_start(error)

# Celery shows each public name of this module, in Flower too.
_broker = celery_broker(settings.broker_url)
broker_url = _broker.url
broker_use_ssl = _broker.use_ssl
broker_connection_retry_on_startup = True
# Redis may be away for long; a person would have to restart a worker that gave up.
broker_connection_max_retries = None
# A Redis that is full or read-only answers, and refuses writes: no reason to exit either.
broker_channel_error_retry = True
worker_consumer = "tasks.celery_support.consumer:WorkerConsumer"
# From the URL: kombu would import sockets before gevent has replaced them.
ON_REDIS = broker_url.startswith(("redis", "sentinel"))
if ON_REDIS:
    broker_transport_options = {
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
        # A connection that goes silent fails at the next command or health check.
        "socket_timeout": 5,
        **_broker.transport_options,
    }
else:
    # A message into a connection that is silent would be lost without an error. RabbitMQ confirms
    # each one, and a confirmation that does not come ends the connection.
    broker_transport_options = {"confirm_publish": True, "read_timeout": 10, "write_timeout": 10}
    # For the connection on which a worker waits for messages: it is given up after twice the time.
    broker_heartbeat = 20
if settings.prefix:
    # kombu's name; tasks/celery_support/transport.py knows it for RabbitMQ.
    broker_transport_options["global_keyprefix"] = settings.key_prefix

# Others may write to the broker: nothing but JSON is read.
accept_content = ["json"]
task_serializer = event_serializer = result_serializer = "json"
result_backend = None
task_ignore_result = True

task_acks_late = False
# Celery supports this on Redis only. On RabbitMQ a worker holds up to one message more for each of
# its processes, and the sweep sends another message for a request that waits there too long.
worker_disable_prefetch = ON_REDIS
worker_prefetch_multiplier = 1
# By default Celery takes fewer messages after a lost connection, and more again with each job that
# begins. Under the threads pool the threads do so on the worker's own connection, which blocks it
# forever on RabbitMQ (tests/faults/test_rabbitmq.py).
worker_enable_prefetch_count_reduction = False

#: Polls and sweeps have a queue of their own, so that they do not wait behind a backlog of jobs.
CONTROL_QUEUE = "control"
#: Each account has its own queues, so that it does not wait behind another's backlog.
task_queues = [
    Queue(at(name, account))
    for account, account_settings in settings_by_account.items()
    for name in (CONTROL_QUEUE, *(kind.value for kind in RequestKind), *account_settings.queues)
]
task_default_queue = task_queues[0].name
task_create_missing_queues = False

# Flower shows these events.
worker_send_task_events = True
task_send_sent_event = True
# tasks/celery_support/signals.py formats a worker's log.
worker_redirect_stdouts = False

# Polls are due every few seconds: a schedule file would remember only what the next poll finds.
beat_scheduler = "tasks.celery_support.beat:BeatScheduler"
# A probe looks at the age of the file that beat touches at each tick.
beat_max_loop_interval = 60
beat_schedule = {}
for account, account_settings in settings_by_account.items():
    # An entry of the account without a name needs no queue: it is the default one.
    options = {"options": {"queue": at(CONTROL_QUEUE, account)}} if account else {}
    for kind, seconds in account_settings.poll_seconds.items():
        entry = {"task": at("poll", account), "schedule": seconds, "args": [kind], **options}
        beat_schedule[at(f"poll {kind}", account)] = entry
    entry = {"task": at("sweep", account), "schedule": account_settings.sweep_seconds, **options}
    beat_schedule[at("sweep", account)] = entry
