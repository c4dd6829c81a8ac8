"""A deployment with a receiver, whose polls come so rarely that only notifications wake anybody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import requests

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.ledger.redis import connect
from tests.support.fault_stack import FaultStack
from tests.support.stack import ROOT

#: Long enough for the algorithms that are refused, too.
SECRET = "a-secret-of-the-tests-" * 3
FOREVER = "3600"
#: Claims that are no times, or no text: signed with the right secret all the same.
NOT_CLAIMS = [
    *(
        f'{{"{name}": {text}}}'
        for name in ("exp", "iat", "nbf")
        for text in (
            *("9" * 400, "-" + "9" * 400, "9" * 3900, "1e400", "-1e400", "NaN", "Infinity"),
            *("-Infinity", '"4102444800"', "null", "true", "[]", "{}", '"\\ud800"', "1e300"),
        )
    ),
    '{"exp": -1}',
    '{"iat": -1}',
    '{"jti": "\\ud800"}',
    '{"jti": 5}',
    '{"jti": ' + "[" * 2900 + "}",
    "[]",
    "5",
    '"\\ud800"',
    "",
]


class WebhookStack(FaultStack):
    """A stack with `connect-worker webhook`."""

    def __init__(self, directory: Path, redis_url: str, **settings: str) -> None:
        self.port = free_port()
        own = {
            "CONNECT_POLL_SECONDS": FOREVER,
            "CONNECT_WEBHOOK_SECRET": SECRET,
            "CONNECT_WEBHOOK_URL": f"http://127.0.0.1:{self.port}",
            "CONNECT_PROCESSORS": str(ROOT / "tests/support/processors/purchases.py"),
        }
        super().__init__(directory, redis_url, **{**own, **settings})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def receive(self, name: str = "receiver", *options: str, port: int | None = None) -> None:
        """Start a receiver and wait until it listens."""
        at = port or self.port
        self.start(name, "-m", "connect_worker", "webhook", "serve", "--port", str(at), *options)
        self.until_soon(lambda: _answers(f"http://127.0.0.1:{at}/healthcheck"), "it listens")

    def command(self, *arguments: str) -> str:
        """Run `connect-worker webhook …` to its end; what it has said."""
        process = self.start("command", "-m", "connect_worker", "webhook", *arguments)
        log = self.directory / "command.log"
        code = process.wait(timeout=60)
        del self.processes["command"]
        text = log.read_text()
        log.unlink()
        assert code == 0, text
        return text

    def order(self, kind: str = "fulfillment", **wish: Any) -> str:
        """A customer orders; the id of the request."""
        [request_id] = self.control("POST", "requests", {"kind": kind, **wish})["ids"]
        return str(request_id)

    def deliveries(self) -> list[dict[str, Any]]:
        """What the sandbox has sent."""
        found: list[dict[str, Any]] = self.control("GET", "notifications")
        return found

    def calls(self) -> int:
        """How many calls of the API the sandbox has answered."""
        routes = self.report(summary=True)["calls"]["by_route"]
        return sum(int(count) for count in routes.values())

    def status(self, request_id: str) -> str:
        """A request's status in the sandbox."""
        return str(self.entry(request_id)["status"])

    def until_approved(self, request_id: str) -> None:
        """Wait until a request is decided, and its job has ended."""
        self.until_soon(lambda: self.status(request_id) == "approved", f"{request_id} is approved")
        self.until_soon(self.is_idle, "its job has ended")

    def take_orders(self) -> None:
        """Start a receiver and a worker, without an order yet and without a poll to come."""
        self.seed(fulfillment=0)
        self.receive()
        self.work("one")
        self.ready()

    def ready(self) -> None:
        """Have the worker's first polls over and done, so that no later one is to come."""
        self.until_soon(lambda: len(self.ledger().polls()) == 4, "the first polls are made")

    def verdicts(self, name: str = "receiver") -> list[str]:
        """The verdicts that a receiver has logged."""
        return re.findall(r"^.*notification.* verdict=('[^']*'|\S+)", self.whole_log(name), re.M)

    def queued(self) -> int:
        """How many messages lie in the queue of looks; without a worker all that were sent."""
        with connect(self.redis_url) as client:
            return int(client.llen("control"))

    def post(
        self,
        body: Any = None,
        *,
        token: str | None = None,
        path: str = "/fulfillment_request",
        port: int | None = None,
        headers: dict[str, str] | None = None,
        content: Any = None,
    ) -> requests.Response:
        """Send a notification as the test likes."""
        return requests.post(
            f"http://127.0.0.1:{port or self.port}{path}",
            json=body if content is None else None,
            data=content,
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {signed() if token is None else token}",
                **(headers or {}),
            },
            timeout=30,
        )


def signed(secret: str = SECRET, *, algorithm: str = "HS256", **claims: Any) -> str:
    """A token as Connect might make it; a claim that is None is left out."""
    now = time.time()
    given = {"iat": int(now), "exp": int(now) + 300, "jti": f"test-{time.time_ns()}", **claims}
    shown = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(shown, secret, algorithm=algorithm)


def signed_text(claims: str, header: str = '{"alg": "HS256"}') -> str:
    """A token with claims that no library would write."""
    first, second = (
        base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in (header, claims)
    )
    digest = hmac.new(SECRET.encode(), first + b"." + second, hashlib.sha256).digest()
    return b".".join((first, second, base64.urlsafe_b64encode(digest).rstrip(b"="))).decode()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@contextmanager
def running_webhook_stack(directory: Path, **settings: str) -> Iterator[WebhookStack]:
    """A Redis of its own, and no other process yet."""
    with embedded_redis() as redis_url:
        stack = WebhookStack(directory, redis_url, **settings)
        try:
            yield stack
        finally:
            stack.stop()
