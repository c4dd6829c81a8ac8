"""Webhooks of the account, and the notifications that go out for them.

The `Authorization` header of a notification has a JSON Web Token, HS256 with the webhook's secret.
Connect's documentation says no more: the claims and the body are the sandbox's own.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from connect_worker.sandbox.documents import Clock, Json, values_at, webhook_id, whole_seconds
from connect_worker.sandbox.http import BadRequestError

#: How long the receiver of a notification may take to respond.
TIMEOUT_SECONDS = 10.0
#: How long a customer waits for a validation.
VALIDATION_SECONDS = 30.0
#: Notifications at the same time; the others wait.
MAX_CONCURRENT = 50


class Sender:
    """Posts notifications without waiting for the response; needs a running event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: AsyncHTTPClient | None = None

    def post(
        self, url: str, headers: dict[str, Any], body: bytes, on_status: Callable[[int], None]
    ) -> None:
        """Post, and call ``on_status`` with the status; 0: no response."""
        task = asyncio.get_running_loop().create_task(self._post(url, headers, body, on_status))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(
        self, url: str, headers: dict[str, Any], body: bytes, on_status: Callable[[int], None]
    ) -> None:
        if self._client is None:
            self._client = AsyncHTTPClient(force_instance=True, max_clients=MAX_CONCURRENT)
        texts = {name: str(value) for name, value in headers.items()}
        try:
            request = HTTPRequest(
                url,
                method="POST",
                headers=texts,
                body=body,
                request_timeout=TIMEOUT_SECONDS,
                connect_timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
            )
            response = await self._client.fetch(request, raise_error=False)
            status = response.code
        except (OSError, ValueError, HTTPClientError):
            status = 0
        # Tornado's own status of a connection that failed or took too long.
        on_status(0 if status == 599 else status)


#: What the notifications about each kind are called.
OBJECT_CLASSES = {
    "fulfillment": "fulfillment_request",
    "tier-config": "tier_config_request",
    "usage-file": "usage_file",
    "usage": "listing_request",
}
#: After each failure the next try waits twice as long.
FIRST_RETRY_SECONDS = 0.5
MAX_TRIES = 8
TOKEN_LIFE = timedelta(minutes=5)
RECENT_DELIVERIES = 1000

#: Posts a body with headers to a URL, and calls back with the status; 0: no response.
Post = Callable[[str, Json, bytes, Callable[[int], None]], None]


class Subject(Protocol):
    """What a notification is about."""

    @property
    def kind(self) -> str:
        """One of the four kinds of work."""

    @property
    def id(self) -> str:
        """The id in Connect."""

    @property
    def product_id(self) -> str:
        """The product that the request is about."""


@dataclass
class Webhook:
    """One webhook, as a client has created it."""

    number: int
    #: as the client sent it: label, external_url, jwt_secret, …
    sent: Json
    created: datetime
    modified: datetime | None = None
    last: Json = field(default_factory=dict)
    stats: dict[str, int] = field(
        default_factory=lambda: {
            "events": 0,
            "triggers": 0,
            "success_triggers": 0,
            "failure_triggers": 0,
        }
    )

    @property
    def id(self) -> str:
        """``WH-000-000-000``."""
        return webhook_id(self.number)

    def body(self) -> Json:
        """As ``notifications/webhooks/{id}`` shows it."""
        shown = {name: value for name, value in self.sent.items() if name != "product_id"}
        return {
            "id": self.id,
            "type": "event",
            **shown,
            "product": {"id": self.sent["product_id"]},
            "created_at": whole_seconds(self.created),
            "modified_at": whole_seconds(self.modified) if self.modified else None,
            "stats": dict(self.stats),
            **self.last,
        }

    def values(self, name: str) -> list[Any]:
        """Values under a field name."""
        return values_at(self.body(), name)

    def wants(self, subject: Subject) -> bool:
        """Whether the webhook is notified of a change of this request."""
        return bool(
            self.sent["active"]
            and self.sent.get("type", "event") == "event"
            and self.sent["object_class"] == OBJECT_CLASSES[subject.kind]
            and self.sent["product_id"] == subject.product_id
        )

    def asks(self, name: str, product_id: str) -> bool:
        """Whether the webhook is for validations of a type and product."""
        return bool(
            self.sent["active"]
            and self.sent.get("type") == name
            and self.sent["product_id"] == product_id
        )


class Webhooks:
    """All webhooks, and the latest deliveries."""

    def __init__(
        self, clock: Clock, call_later: Callable[[float, Callable[[], None]], object], post: Post
    ) -> None:
        self._clock = clock
        self._call_later = call_later
        self._post = post
        self._made = 0
        self._notified = 0
        self.by_id: dict[str, Webhook] = {}
        #: the latest deliveries, oldest first: at, webhook, request, try, status
        self.deliveries: deque[Json] = deque(maxlen=RECENT_DELIVERIES)

    def create(self, sent: Json) -> Webhook:
        """Create a webhook from a checked document."""
        made = Webhook(self._made, sent, self._clock())
        self._made += 1
        self.by_id[made.id] = made
        return made

    def change(self, webhook: Webhook, sent: Json) -> None:
        """Replace the settings of a webhook by a checked document."""
        webhook.sent = sent
        webhook.modified = self._clock()

    def announce(self, subject: Subject) -> None:
        """Notify the webhooks of a request that is new or has changed."""
        for webhook in self.by_id.values():
            if webhook.wants(subject):
                self.trigger(webhook, subject.id)

    def trigger(self, webhook: Webhook, request_id: str = "") -> None:
        """Notify, and retry until the receiver accepts; without an id it is about no request."""
        self._notified += 1
        number = self._notified
        webhook.stats["events"] += 1
        body = {
            "webhook_id": webhook.id,
            "webhook_name": webhook.sent["label"],
            "object_class": webhook.sent["object_class"],
            "product_id": webhook.sent["product_id"],
            **({"id": request_id} if request_id else {}),
            "data": webhook.sent.get("data") or {},
        }
        # After the response to the call that caused it.
        self._call_later(0, lambda: self._deliver(webhook, body, number, 1))

    def _headers(self, webhook: Webhook, number: int) -> Json:
        now = self._clock()
        claims = {
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_LIFE).timestamp()),
            "jti": f"{webhook.id}-{number}",
        }
        return {
            "Content-Type": "application/json",
            **(webhook.sent.get("headers") or {}),
            "Authorization": f"Bearer {sign(claims, webhook.sent['jwt_secret'])}",
        }

    async def validate(self, name: str, product_id: str, document: Json) -> Json:
        """Ask the webhook of a type of validation; return its answer.

        Without a webhook of the type, the document itself.

        Raises:
            BadRequestError: The webhook did not answer with the same document in time.
        """
        webhook = next((hook for hook in self.by_id.values() if hook.asks(name, product_id)), None)
        if webhook is None:
            return document
        self._notified += 1
        request = HTTPRequest(
            webhook.sent["external_url"],
            method="POST",
            headers=self._headers(webhook, self._notified),
            body=json.dumps(document).encode(),
            request_timeout=VALIDATION_SECONDS,
            follow_redirects=False,
        )
        try:
            response = await AsyncHTTPClient().fetch(request, raise_error=False)
            answer = json.loads(response.body) if response.code == 200 else None
        except (OSError, ValueError, HTTPClientError):
            answer = None
        if not isinstance(answer, dict) or answer.get("id") != document["id"]:
            raise BadRequestError(f"{webhook.id} did not validate {document['id']}.")
        return answer

    def _deliver(self, webhook: Webhook, body: Json, number: int, tries: int) -> None:
        if webhook.id not in self.by_id:
            return
        now, headers = self._clock(), self._headers(webhook, number)

        def on_status(status: int) -> None:
            self._note(webhook, body, tries, status, began=now)
            if not 200 <= status < 300 and tries < MAX_TRIES:
                delay = FIRST_RETRY_SECONDS * 2 ** (tries - 1)
                self._call_later(delay, lambda: self._deliver(webhook, body, number, tries + 1))

        self._post(webhook.sent["external_url"], headers, json.dumps(body).encode(), on_status)

    def _note(
        self, webhook: Webhook, body: Json, tries: int, status: int, *, began: datetime
    ) -> None:
        now = self._clock()
        is_accepted = 200 <= status < 300
        webhook.stats["triggers"] += 1
        webhook.stats["success_triggers" if is_accepted else "failure_triggers"] += 1
        webhook.last["last_event"] = whole_seconds(now)
        webhook.last["last_success" if is_accepted else "last_failure"] = {
            "time": whole_seconds(now),
            "response": {"status": status},
            "duration": int((now - began).total_seconds() * 1000),
            "status": "success" if is_accepted else "failure",
        }
        self.deliveries.append(
            {
                "at": whole_seconds(now),
                "webhook": webhook.id,
                "request": body.get("id", ""),
                "try": tries,
                "status": status,
            }
        )


def sign(claims: Json, secret: str) -> str:
    """Return a JSON Web Token, HS256 (RFC 7515, RFC 7519)."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encoded(signature)}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
