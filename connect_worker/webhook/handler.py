"""What becomes of a notification: refused before its body is read, or noted down and told.

It is a wake-up call. Of what it says only the kind (by its path) and a request's id (by its form)
are taken; a worker then asks Connect itself. The answer is a success only once the ledger has it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

from tornado.web import HTTPError, RequestHandler, stream_request_body

from connect_worker.domain.kinds import OBJECT_CLASSES, ChangeHint, HintResult, find_id
from connect_worker.domain.states import RequestKind
from connect_worker.engine.ports import ChangeHints
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent
from connect_worker.webhook.background_publisher import Messenger, Notify
from connect_worker.webhook.signature import NotSigned, Signature, verify

# Where each account's notifications go: `<public address>/<account>/<object class>`.

_KINDS: Final = {name: kind for kind, name in OBJECT_CLASSES.items()}


def place_of(account: str, kind: RequestKind) -> str:
    """Return the path of a kind's notifications; "" is the only account."""
    return "/".join(("", *filter(None, [account]), OBJECT_CLASSES[kind]))


def read_place(path: str, accounts: Container[str]) -> tuple[str, RequestKind] | None:
    """Return the account and the kind that a path names; None when it names none.

    A proxy may leave a prefix of its own before it.
    """
    *before, last = path.rstrip("/").split("/")
    account = "" if "" in accounts else (before or [""])[-1]
    if last not in _KINDS or account not in accounts:
        return None
    return account, _KINDS[last]


# Lines about refused notifications: each has one, but a flood of them is told in sums.

MOST_PER_SECOND: Final = 10


class Quiet:
    """Counts what is told, and what is not.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = float("-inf")
        self._told = 0
        #: How many were not told since the last one that was.
        self._untold = 0

    def may_tell(self) -> int | None:
        """Return None when nothing is to be told; else how many were not told before it."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._told = now, 0
        if self._told >= MOST_PER_SECOND:
            self._untold += 1
            return None
        self._told += 1
        untold, self._untold = self._untold, 0
        return untold


log: Final = logging.getLogger("connect_worker.webhook")

#: A whole request of Connect's has some ten kilobytes.
MOST_BODY_BYTES: Final = 256 * 1024
_MOST_DIGITS: Final = 12
#: Notifications that wait for the ledger at the same time.
MOST_WAITING: Final = 64


class Refused(HTTPError):  # noqa: N818 - as the other errors are named
    """The status of the answer, and the verdict for the log."""

    def __init__(self, status: int, verdict: str) -> None:
        super().__init__(status, reason="Refused" if status < 500 else "Not now")
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Account:
    """One account, and what its notifications need."""

    ledger: ChangeHints
    #: Sends the workers' messages.
    notify: Notify
    secret: str = field(repr=False)
    #: After how long an unanswered message counts as lost.
    requeue_seconds: float = 60.0


@dataclass
class House:
    """What the handlers of one receiver share."""

    #: By name; "" is the only one.
    accounts: Mapping[str, Account]
    #: Where the ledger is waited for.
    threads: Executor
    #: And where the broker is.
    messenger: Messenger
    quiet: Quiet = field(default_factory=Quiet)
    waiting: int = 0


@stream_request_body
class Receive(RequestHandler):
    """Takes every path: what is refused is refused in `prepare`, before any of the body is read."""

    SUPPORTED_METHODS = ("POST",)

    def initialize(self, house: House) -> None:
        """Take what all handlers share."""
        self._house = house
        self._body = bytearray()
        self._facts: dict[str, object] = {}

    def set_default_headers(self) -> None:
        """Say as little as possible."""
        self.set_header("Server", "connect-worker")

    def compute_etag(self) -> None:
        """Nobody asks twice."""

    def prepare(self) -> None:
        """Check all that can be checked without the body.

        Raises:
            Refused: It is not taken.
        """
        place = read_place(self.request.path, self._house.accounts)
        if place is None:
            raise Refused(404, "no such place")
        self._name, self._kind = place
        self._account = self._house.accounts[self._name]
        self._facts = {**({"account": self._name} if self._name else {}), "kind": self._kind}
        if self.request.method != "POST":
            raise Refused(405, "not posted")
        self._signature = self._verify()
        sort = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if sort != "application/json":
            raise Refused(415, "no JSON")
        length = self.request.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(411, "no length")
        # So many digits are too many, and Python would not read thousands of them.
        if len(length) > _MOST_DIGITS or int(length) > MOST_BODY_BYTES:
            raise Refused(413, "too large")

    def _verify(self) -> Signature:
        try:
            header = self.request.headers.get("Authorization", "")
            return verify(header, self._account.secret, now=time.time())
        except NotSigned as error:
            raise Refused(401, str(error)) from None

    def data_received(self, chunk: bytes) -> None:
        """Collect the body, which has the length that was told."""
        self._body += chunk

    async def post(self) -> None:
        """Note it down, answer, and tell a worker."""
        notice = _read(self._kind, bytes(self._body))
        if notice.request_id:
            self._facts["request"] = notice.request_id
        if self._house.waiting >= MOST_WAITING:
            raise Refused(503, "busy")
        self._house.waiting += 1
        try:
            heard, notice = await self._run(self._note, notice)
        except LedgerUnavailable as error:
            raise Refused(503, f"not noted: {error}") from None
        finally:
            self._house.waiting -= 1
        self.set_status(200 if heard is HintResult.REPLAYED else 202)
        self.finish({"verdict": heard.value})
        log.info(LogEvent("webhook.notification_received", verdict=heard.value, **self._facts))
        if heard is HintResult.NEW:
            # Lost with this process, or with the broker, the sweep sends another one.
            self._house.messenger.send(self._account.notify, notice)

    def _note(self, notice: ChangeHint) -> tuple[HintResult, ChangeHint]:
        return self._account.ledger.add_hint(
            notice,
            digest=self._signature.digest(bytes(self._body)),
            remember_seconds=self._signature.remember_seconds,
            requeue_seconds=self._account.requeue_seconds,
        )

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._house.threads, function, *args
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a refusal; why, only the log tells."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        verdict = error.verdict if isinstance(error, Refused) else "failed"
        if status_code == 503:
            self.set_header("Retry-After", "5")
        # What is still sent is not read.
        self.set_header("Connection", "close")
        self.finish({"verdict": "refused" if status_code < 500 else "not now"})
        untold = self._house.quiet.may_tell()
        if untold is not None:
            more = {"untold": untold} if untold else {}
            facts = {**self._facts, "status": status_code, "peer": self.request.remote_ip, **more}
            log.warning(LogEvent("webhook.notification_rejected", verdict=verdict, **facts))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Leave a refusal to its one line."""
        if not isinstance(value, Refused):
            super().log_exception(typ, value, tb)


def _read(kind: RequestKind, body: bytes) -> ChangeHint:
    """Return what a body tells.

    Raises:
        Refused: It is no JSON object, or is about another kind.
    """
    try:
        document = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Refused(400, "malformed") from None
    if not isinstance(document, dict):
        raise Refused(400, "malformed")
    said = document.get("object_class")
    if said is not None and said != OBJECT_CLASSES[kind]:
        raise Refused(400, "another kind")
    return ChangeHint(kind, find_id(kind, document))
