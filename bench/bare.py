"""The peer: a Celery application that makes the same calls with one session, and nothing else.

It has no ledger, no journal, no lease, no retry and no models. It imports nothing of this project,
so that its memory is Celery's own. A test compares its settings with those of `celeryconfig.py`.
"""

from __future__ import annotations

import os

import requests
from celery import Celery
from kombu import Queue
from requests.adapters import HTTPAdapter

API_URL = os.environ["BARE_API_URL"]

app = Celery("bare", broker=os.environ["BARE_BROKER_URL"])
app.conf.update(
    task_acks_late=False,
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    task_queues=[Queue("bare")],
    task_default_queue="bare",
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
        "socket_timeout": 5,
    },
)

session = requests.Session()
session.headers["Authorization"] = "ApiKey SU-000-000-001:a-key-of-the-benchmark"
# At least as many connections as threads: with the default of 10, a pool of 100 threads would open
# a new connection for nearly every call.
session.mount("http://", HTTPAdapter(pool_maxsize=512))


@app.task
def approve(request_id: str) -> str:
    """Make the calls that the worker makes for an approval, including the message."""
    request = _call("GET", f"requests/{request_id}")
    _call("POST", f"requests/{request_id}/approve", {"activation_tile": f"Welcome, {request_id}"})
    conversations = _call("GET", f"conversations?instance_id={request_id}")
    for conversation in conversations[:1]:
        text = {"text": "Activated using custom activation tile."}
        _call("POST", f"conversations/{conversation['id']}/messages", text)
    return str(request["status"])


@app.task
def nothing(request_id: str) -> str:
    """Do nothing."""
    return request_id


def _call(method: str, path: str, json: object = None):  # type: ignore[no-untyped-def]  # JSON
    answer = session.request(method, f"{API_URL}/{path}", json=json, timeout=(5, 30))
    answer.raise_for_status()
    return answer.json()
