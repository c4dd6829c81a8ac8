"""The receiver: what Connect sends is rejected before its body is read, or noted, or validated.

A notification is a wake-up call. The receiver takes only the kind (from the path) and the request's
id (if it has the form of an id); a worker then asks Connect itself. The receiver answers with
success only after the ledger has stored the change hint.

A validation is answered at once, with the document in which the vendor's code has set errors. It
needs no ledger.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

from tornado.netutil import bind_sockets
from tornado.web import HTTPError, RequestHandler, stream_request_body, url

from connect_worker._web_access import visitor_address
from connect_worker.domain.kinds import (
    OBJECT_CLASSES,
    VALIDATION_TYPES,
    ChangeHint,
    HintResult,
    find_id,
    has_too_many_levels,
)
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.engine.ports import ChangeHints
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, event_logger
from connect_worker.observability.logging import LogThrottle
from connect_worker.operations import exporter, webserver
from connect_worker.operations.webserver import (
    MAX_BODY_BYTES,
    Healthcheck,
    LimitedApplication,
    log_no_access,
    serve_until_stopped,
)
from connect_worker.resources.validation import HOLD, errors_in, held_back, without_errors
from connect_worker.settings.environment import Network
from connect_worker.webhook.signature import Signature, SignatureError, verify
from connect_worker.webhook.validation import ValidationError, ValidationMetrics, ValidatorPool

log: Final = event_logger("connect_worker.webhook")

_MAX_LENGTH_DIGITS: Final = 12
#: How many notifications may wait for the ledger at the same time.
MAX_WAITING: Final = 64

# ---- paths: `<public address>/<account>/<object class or type of validation>`

_KINDS: Final = {name: kind for kind, name in OBJECT_CLASSES.items()}


def path_for(account: str, target: RequestKind | str) -> str:
    """Return the path for notifications of a kind, or for a type of validation.

    The only account has the name "".

    Examples:
        >>> path_for("", RequestKind.FULFILLMENT), path_for("eu", "change_validator")
        ('/fulfillment_request', '/eu/change_validator')
    """
    name = OBJECT_CLASSES[target] if isinstance(target, RequestKind) else target
    return "/".join(("", *filter(None, [account]), name))


def parse_path(path: str, accounts: Container[str]) -> tuple[str, RequestKind, str] | None:
    """Return the account, the kind and the type of validation ("" for notifications) of a path.

    None when it names no known account or kind. A proxy may put a prefix in front of the path.
    """
    *before, last = path.rstrip("/").split("/")
    account = "" if "" in accounts else (before or [""])[-1]
    kind = _KINDS.get(last) or VALIDATION_TYPES.get(last)
    if kind is None or account not in accounts:
        return None
    return account, kind, last if last in VALIDATION_TYPES else ""


# ---- messages to the workers

Publish = Callable[[Iterable[ChangeHint]], None]

#: The sweep publishes what does not fit into the queue.
MAX_UNPUBLISHED: Final = 1000
#: How long the end of the process waits for messages that are not published yet.
CLOSE_SECONDS: Final = 2.0


class BackgroundPublisher:
    """Publishes messages in a thread, so that a slow broker delays no answer to Connect.

    The thread is a daemon: a broker that never answers does not keep the process alive.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Publish, ChangeHint]] = queue.Queue(MAX_UNPUBLISHED)
        threading.Thread(target=self._run, name="publisher", daemon=True).start()

    def send(self, publish: Publish, hint: ChangeHint) -> None:
        """Publish a message soon; when the queue is full, the sweep publishes it later."""
        try:
            self._queue.put_nowait((publish, hint))
        except queue.Full:
            return

    def close(self) -> None:
        """Wait a moment for messages that are not published yet."""
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._queue.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.02)

    def _run(self) -> None:
        while True:
            publish, hint = self._queue.get()
            try:
                publish([hint])
            except Exception:
                # The broker's client may raise anything; the sweep publishes another message.
                log.exception(LogEvent("webhook.publish_failed", hint=hint))
            finally:
                self._queue.task_done()


# ---- notifications


class RejectionError(HTTPError):
    """Rejects a notification: the status for Connect, and the verdict for the log."""

    def __init__(self, status: int, verdict: str) -> None:
        super().__init__(status, reason="Refused" if status < 500 else "Not now")
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Account:
    """One account, and what its notifications need."""

    ledger: ChangeHints
    #: Publishes the messages to the workers.
    publish: Publish
    secret: str = field(repr=False)
    #: After how many seconds a message without an answer counts as lost.
    requeue_seconds: float = 60.0


@dataclass
class AppState(webserver.AppState):
    """What the handlers of one receiver share."""

    #: By name; "" for the only account.
    accounts: Mapping[str, Account]
    publisher: BackgroundPublisher
    #: The proxies whose `X-Forwarded-For` counts.
    trusted_proxies: Sequence[Network] = ()
    throttle: LogThrottle = field(default_factory=LogThrottle)
    #: How many notifications wait for the ledger.
    waiting: int = 0
    #: Runs validations; None in a receiver that has none.
    validators: ValidatorPool | None = None
    metrics: ValidationMetrics = field(default_factory=ValidationMetrics)


@stream_request_body
class WebhookHandler(RequestHandler):
    """Handles every path; `prepare` rejects what comes before its body is read."""

    SUPPORTED_METHODS = ("POST",)

    def initialize(self, state: AppState) -> None:
        """Take what all handlers share."""
        self._state = state
        self._body = bytearray()
        self._log_fields: dict[str, object] = {}

    def set_default_headers(self) -> None:
        """Hide the server's name and version."""
        self.set_header("Server", "connect-worker")

    def compute_etag(self) -> None:
        """Disable ETags: answers are never cached."""

    def prepare(self) -> None:
        """Check everything that does not need the body.

        Raises:
            RejectionError: The call is not accepted.
        """
        self._began = time.monotonic()
        route = parse_path(self.request.path, self._state.accounts)
        if route is None:
            raise RejectionError(404, "unknown path")
        self._name, self._kind, self._type = route
        self._account = self._state.accounts[self._name]
        self._log_fields = {
            **({"account": self._name} if self._name else {}),
            "kind": self._kind,
            **({"type": self._type} if self._type else {}),
        }
        if self._type and not self._has_validation():
            raise RejectionError(404, "no validation")
        if self.request.method != "POST":
            raise RejectionError(405, "not a POST")
        self._signature = self._verify()
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            raise RejectionError(415, "not JSON")
        length = self.request.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise RejectionError(411, "no length")
        # A number with more digits is too large in any case, and Python refuses to parse thousands.
        if len(length) > _MAX_LENGTH_DIGITS or int(length) > MAX_BODY_BYTES:
            raise RejectionError(413, "too large")

    def _has_validation(self) -> bool:
        validators = self._state.validators
        return validators is not None and validators.has(self._name, self._type)

    def _verify(self) -> Signature:
        try:
            header = self.request.headers.get("Authorization", "")
            return verify(header, self._account.secret, now=time.time())
        except SignatureError as error:
            raise RejectionError(401, str(error)) from None

    def data_received(self, chunk: bytes) -> None:
        """Collect the body; its length was checked."""
        self._body += chunk

    async def post(self) -> None:
        """Note a change in the ledger, or run a validation; answer Connect."""
        if self._type:
            await self._validate()
        else:
            await self._notify()

    async def _notify(self) -> None:
        hint = parse_notification(self._kind, bytes(self._body))
        if hint.request_id:
            self._log_fields["request"] = hint.request_id
        if self._state.waiting >= MAX_WAITING:
            raise RejectionError(503, "busy")
        self._state.waiting += 1
        try:
            result, hint = await asyncio.get_running_loop().run_in_executor(
                self._state.threads, self._add_hint, hint
            )
        except LedgerUnavailable as error:
            raise RejectionError(503, f"not stored: {error}") from None
        finally:
            self._state.waiting -= 1
        self.set_status(200 if result is HintResult.REPLAYED else 202)
        self.finish({"verdict": result.value})
        fields = {"verdict": result.value, **self._log_fields}
        log.info(LogEvent("webhook.notification_received", **fields))
        if result is HintResult.NEW:
            # If the message is lost with this process or the broker, the sweep publishes another.
            self._state.publisher.send(self._account.publish, hint)

    async def _validate(self) -> None:
        """Answer with the document, and the errors in it.

        A validation without a result lets the order go on, or holds it back, as the vendor says.
        """
        document = parse_body(bytes(self._body))
        if has_too_many_levels(document):
            raise RejectionError(400, "malformed")
        self._log_fields["request"] = find_id(self._kind, document)
        validators = self._state.validators
        validator = validators.find(self._name, self._type, document) if validators else None
        if validators is None or validator is None:
            raise RejectionError(404, "no validation")
        answer: JSON = None
        try:
            answer = await validators.run(validator, document)
            errors = errors_in(self._kind, answer)
            verdict = "errors" if errors else "valid"
        except ValidationError as error:
            verdict = "hold" if validator.on_failure == HOLD else "allow"
            self._log_fields["error"] = error
            answer = without_errors(self._kind, document)
            if verdict == "hold":
                answer = held_back(self._kind, answer, validator.failure_message)
        self._state.metrics.count(
            self._name, self._type, verdict, seconds := time.monotonic() - self._began
        )
        if answer is None:
            # No parameter can have the error.
            raise RejectionError(503, "not validated")
        self.finish(answer)
        fields = {"verdict": verdict, **self._log_fields, "seconds": round(seconds, 3)}
        log.info(LogEvent("webhook.validation_answered", **fields))

    def _add_hint(self, hint: ChangeHint) -> tuple[HintResult, ChangeHint]:
        return self._account.ledger.add_hint(
            hint,
            digest=self._signature.digest(bytes(self._body)),
            remember_seconds=self._signature.remember_seconds,
            requeue_seconds=self._account.requeue_seconds,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a rejection; only the log has the reason."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        verdict = error.verdict if isinstance(error, RejectionError) else "failed"
        if status_code == 503:
            self.set_header("Retry-After", "5")
        # The rest of the body is not read.
        self.set_header("Connection", "close")
        self.finish({"verdict": "refused" if status_code < 500 else "not now"})
        if (more := self._state.throttle.facts()) is not None:
            fields = {
                **self._log_fields,
                "status": status_code,
                "peer": visitor_address(self.request, self._state.trusted_proxies),
                **more,
            }
            log.warning(LogEvent("webhook.notification_rejected", verdict=verdict, **fields))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log errors of the program; a rejection has its own line."""
        if not isinstance(value, RejectionError):
            super().log_exception(typ, value, tb)


def parse_notification(kind: RequestKind, body: bytes) -> ChangeHint:
    """Return what a notification says has changed.

    Raises:
        RejectionError: The body is not a JSON object, or is about another kind.
    """
    document = parse_body(body)
    object_class = document.get("object_class")
    if object_class is not None and object_class != OBJECT_CLASSES[kind]:
        raise RejectionError(400, "another kind")
    return ChangeHint(kind, find_id(kind, document))


def parse_body(body: bytes) -> dict[str, JSON]:
    """Return the document in a body; an empty body is an empty document.

    Raises:
        RejectionError: The body is not a JSON object.
    """
    try:
        document = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise RejectionError(400, "malformed") from None
    if not isinstance(document, dict):
        raise RejectionError(400, "malformed")
    return document


# ---- the process


def serve(
    accounts: Mapping[str, Account],
    *,
    address: str,
    port: int,
    ready: Callable[[int], None],
    trusted_proxies: Sequence[Network] = (),
    validators: ValidatorPool | None = None,
    metrics_port: int | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        accounts: By name; "" for the only account.
        address: Where to listen.
        port: 0 for a free one.
        ready: Gets the port.
        trusted_proxies: The proxies whose `X-Forwarded-For` counts.
        validators: Runs validations.
        metrics_port: Where the metrics of validations are read; None to have none.

    Raises:
        OSError: The address or a port is not available.
        RegistrationError: The vendor's validations can't be loaded.
    """
    publisher = BackgroundPublisher()
    sockets = [] if metrics_port is None else bind_sockets(metrics_port, address)

    def application(_port: int, threads: Executor) -> LimitedApplication:
        state = AppState(threads, accounts, publisher, trusted_proxies, validators=validators)
        if sockets:
            metrics = exporter.make_application(state.metrics.registry, threads)
            webserver.LimitedServer(metrics).add_sockets(sockets)
        return make_application(state)

    serve_until_stopped(
        application,
        address=address,
        port=port,
        ready=ready,
        alongside=validators,
    )
    publisher.close()


def make_application(state: AppState) -> LimitedApplication:
    """Return the receiver as a Tornado application."""
    return LimitedApplication(
        [
            url(r"/healthcheck", Healthcheck),
            url(r"/.*", WebhookHandler, {"state": state}),
        ],
        log_function=log_no_access,
    )
