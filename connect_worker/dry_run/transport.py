"""The calls of a client as values, and the transports that answer them in place of HTTP.

`LiveTransport` reads from the account, `SandboxTransport` from a sandbox in this process.
`CapturingTransport` keeps what a processor would change in Connect: it answers such a call as if
Connect had taken it, and later reads of the same document show the change. So the processor goes
on, and nothing has left the process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from io import BytesIO
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, urlencode

import requests
from requests.structures import CaseInsensitiveDict

from connect_worker.api.client import LONG_CALLS
from connect_worker.api.connections import Budget, Guard
from connect_worker.api.responses import encoding_of
from connect_worker.api.transport import Session, SessionPool
from connect_worker.config import Config
from connect_worker.domain.api_calls import FILE_ACTIONS
from connect_worker.domain.kinds import path_of
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.sandbox import http
from connect_worker.sandbox.api import dispatch, error_response, router
from connect_worker.sandbox.documents import merge
from connect_worker.sandbox.fulfillment import Conversation
from connect_worker.sandbox.http import API, ApiError
from connect_worker.sandbox.memory import Options, SandboxState, Spread
from connect_worker.sandbox.seeding import build_state
from connect_worker.sandbox.usage_sheet import rows_of
from connect_worker.settings.model import DEFAULTS, Settings


@dataclass(frozen=True, slots=True)
class Request:
    """One call, as the client would send it."""

    method: str
    #: Relative to the API (`requests/PR-…`), or the address of a download.
    path: str
    #: The query as it stands in the address.
    query: str = ""
    body: JSON = None
    #: The idempotency key; "" for none.
    key: str = ""
    #: The bytes of an uploaded form; None for none.
    upload: bytes | None = None

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def place(self) -> str:
        """The path without a slash at its end."""
        return self.path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a call."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: JSON, *, status: int = 200) -> Response:
        """Return an answer with a JSON document."""
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    @classmethod
    def of_text(cls, text: str) -> Response:
        """Return an answer with a text, as a rendered template is."""
        return cls(200, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


#: Answers calls; raises what `requests` raises when there is no answer.
Transport = Callable[[Request], Response]


class TransportPool(SessionPool):
    """Sessions without sockets: each call goes to a transport.

    Args:
        url: Where the API is; paths are relative to it.
        transport: Answers.
    """

    def __init__(self, url: str, transport: Transport) -> None:
        super().__init__()
        self._base = url.rstrip("/") + "/"
        self._transport = transport

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend the client an object with the one method of a session that it calls."""
        yield cast("Session", self)

    def call(
        self,
        method: str,
        url: str,
        *,
        budget: Budget,  # noqa: ARG002 - a transport has its own
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        """Return the transport's answer to one call, as a response of `requests`."""
        path, _, query = url.partition("?")
        upload = None if data is None else b"".join(data)
        sent = Request(
            method,
            path.removeprefix(self._base),
            "&".join(filter(None, [query, urlencode(params or {})])),
            json,
            (headers or {}).get("Idempotency-Key", ""),
            upload,
        )
        return _response(self._transport(sent), url)


def _response(answer: Response, url: str) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = encoding_of(response.headers)
    response.url = url
    response.raw = BytesIO(answer.content)
    return response


class LiveTransport:
    """Reads from an account over the network; it refuses every call that changes something.

    Args:
        config: The account's URL and key.
        settings: The limits of a call.
    """

    def __init__(self, config: Config, settings: Settings = DEFAULTS) -> None:
        self._url = config.api_url.rstrip("/")
        self._settings = settings
        self._pool = SessionPool(config.api_key, url=self._url)
        # Downloads are on other servers, which must not get the key.
        self._guard = Guard(self._url, allows_private=settings.allow_private_hosts)
        self._plain = SessionPool(guard=self._guard)

    def __call__(self, sent: Request) -> Response:
        """Return the account's answer."""
        if not sent.is_read:
            raise AssertionError(f"{sent.method} {sent.path} is not a read")
        is_download = "://" in sent.path
        url = self._guard.require_allowed(sent.path) if is_download else f"{self._url}/{sent.path}"
        pool = self._plain if is_download else self._pool
        is_long = is_download or "offset=" in sent.query
        seconds = self._settings.timeout_seconds * (LONG_CALLS if is_long else 1)
        budget = Budget(seconds=seconds, max_bytes=self._settings.max_answer_bytes)
        url = f"{url}?{sent.query}" if sent.query else url
        with pool.session() as session:
            response = session.call(sent.method, url, budget=budget)
        return Response(response.status_code, response.content, dict(response.headers))


#: By the last part of a path: the status that the call gives to the document.
_ACTIONS: Final[Mapping[str, str]] = {
    "approve": "approved",
    "fail": "failed",
    "inquire": "inquiring",
    "pend": "pending",
    "upload": "ready",
    **FILE_ACTIONS,
}
#: The ids of what is created, by the collection's path.
_CREATED: Final[Mapping[str, tuple[str, str]]] = {
    "requests": ("PR-0000-0000", "pending"),
    "usage/files": ("UF-0000-00-0000", "draft"),
}


# ---- the sandbox in this process

SANDBOX_URL = "https://connect.test/public/v1"
#: When the products, templates and conversations of this sandbox were created.
CREATED = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
PRODUCTS = 3


def empty_state() -> SandboxState:
    """Return an account with products and templates, and without a single request."""
    return build_state(
        Options(Spread(0, 0, 0, 0), product_count=PRODUCTS),
        clock=lambda: CREATED,
        call_later=lambda seconds, function: None,  # noqa: ARG005 - this sandbox does nothing later
        post=lambda url, headers, body, on_status: None,  # noqa: ARG005 - no webhooks
        reset=lambda: None,
    )


class SandboxTransport:
    """Answers reads as a sandbox does that has only the request of the dry run.

    It has products and templates, and the conversation of a fulfillment request. All other
    collections are empty.

    Args:
        kind: The kind of the request.
        request_id: Its id.
    """

    def __init__(self, kind: RequestKind, request_id: str) -> None:
        self._state = empty_state()
        self._request_id = request_id
        if kind is RequestKind.FULFILLMENT:
            self._state.conversations.add(Conversation(1, request_id, CREATED))

    def __call__(self, sent: Request) -> Response:
        """Return the sandbox's answer."""
        rendered = self._rendered(sent)
        if rendered is not None:
            return rendered
        path = f"{API}{sent.path}"
        try:
            match = router.match(sent.method, path)
        except ApiError as refusal:
            reply = error_response(refusal)
        else:
            reply = dispatch(match, self._state, self._request(sent, path, match.args))
        content = reply.content
        if content is None:
            return Response(reply.status)
        headers = {"Content-Type": reply.content_type, **reply.headers}
        is_bytes = isinstance(content, bytes)
        return Response(
            reply.status, content if is_bytes else json.dumps(content).encode(), headers
        )

    def _rendered(self, sent: Request) -> Response | None:
        """Render a template for the request, which is not in the sandbox itself."""
        collection, _, rest = sent.place.partition("/")
        name, _, action = rest.partition("/")
        template = self._state.catalog.templates.get(name)
        if (collection, action) != ("templates", "render") or template is None:
            return None
        return Response.of_text(template.render(self._request_id))

    def _request(self, sent: Request, path: str, args: Any) -> http.Request:
        return http.Request(
            method=sent.method,
            path=path,
            args=args,
            query=sent.query,
            parameters=dict(parse_qsl(sent.query)),
            body=b"",
            files={},
            idempotency_key=sent.key or None,
            base_url=SANDBOX_URL.removesuffix(API.rstrip("/")),
            by_provider=False,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes something in Connect.

    Examples:
        >>> Call("POST", "requests/PR-1/fail", {"reason": "Too many"})
        Call(method='POST', path='requests/PR-1/fail', body={'reason': 'Too many'}, by='decision')
    """

    method: str
    #: Relative to the API: `requests/PR-5852-1608-0000/approve`.
    path: str
    body: JSON = None
    #: Its idempotency key; two calls that differ in nothing else are equal.
    key: str = field(default="", compare=False, repr=False)
    #: Who makes it: the processor itself, or the engine for the decision.
    by: Literal["processor", "decision"] = "decision"
    #: The uploaded form; None for a call without one. Its bytes hold the time of day.
    upload: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def records(self) -> list[dict[str, JSON]]:
        """The usage records of an upload, by the names of its sheet's columns; else none."""
        if self.upload is None:
            return []
        boundary = self.upload.partition(b"\r\n")[0].removeprefix(b"--")
        head = b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n\r\n"
        # A form is MIME: the library's own parser reads it.
        part = message_from_bytes(head + self.upload).get_payload(0)
        content = part.get_payload(decode=True)  # type: ignore[union-attr]  # it is a message
        names, *rows = rows_of(content)  # type: ignore[arg-type]  # bytes
        return [dict(zip(map(str, names), row, strict=False)) for row in rows]


class CapturingTransport:
    """Keeps the calls that change something, and lets reads through.

    Args:
        reads: Answers what the kept calls have not changed.
        documents: Answers that are given instead of asking `reads`, by path; a collection is a
            list, and a text is a rendered template.
    """

    def __init__(self, reads: Transport, documents: Mapping[str, JSON]) -> None:
        self._reads = reads
        self._documents = {path.strip("/"): document for path, document in documents.items()}
        self.calls: list[Call] = []
        #: Who makes the calls now.
        self.by: Literal["processor", "decision"] = "decision"

    def __call__(self, sent: Request) -> Response:
        """Answer one call; only reads go any further."""
        if sent.is_read:
            known = self._documents.get(sent.place)
            return self._reads(sent) if known is None else _page(known)
        self.calls.append(Call(sent.method, sent.path, sent.body, sent.key, self.by, sent.upload))
        if sent.method == "PUT":
            return Response.of(self._put(sent))
        if sent.method == "POST":
            return self._post(sent)
        return Response(204)

    def _put(self, sent: Request) -> JSON:
        base = self._documents.get(sent.place)
        body = sent.body if isinstance(sent.body, dict) else {}
        if base is None:
            answer = self._reads(Request("GET", sent.place))
            base = _document_in(answer)
        self._documents[sent.place] = merge(base, body)
        return self._documents[sent.place]

    def _post(self, sent: Request) -> Response:
        base, _, action = sent.place.rpartition("/")
        if action in _ACTIONS:
            document = {**self._documents.get(base, {}), "status": _ACTIONS[action]}
            if base in self._documents:
                self._documents[base] = document
            return Response.of(document)
        prefix, status = _CREATED.get(sent.place, ("NEW-0000", ""))
        made = {
            **({"status": status} if status else {}),
            **(sent.body if isinstance(sent.body, dict) else {}),
            "id": f"{prefix}-{len(self.calls):04d}",
        }
        self._documents[f"{sent.place}/{made['id']}"] = made
        return Response.of(made, status=201)


def documents_of(kind: RequestKind, document: JSON) -> dict[str, JSON]:
    """Return the documents in a request, by path: itself, its asset, its configuration."""
    documents = {path_of(kind, str(document.get("id"))): document}
    for name, path in (("asset", "assets"), ("configuration", "tier/configs")):
        part = document.get(name)
        if isinstance(part, dict) and part.get("id"):
            documents[f"{path}/{part['id']}"] = part
    return documents


def _page(document: JSON) -> Response:
    if isinstance(document, str):
        return Response.of_text(document)
    answer = Response.of(document)
    if not isinstance(document, list):
        return answer
    # All rows in one page: a client that asks for the next page finds none.
    span = f"0-{len(document) - 1}" if document else "*"
    headers = {**answer.headers, "Content-Range": f"items {span}/{len(document)}"}
    return Response(200, answer.content, headers)


def _document_in(answer: Response) -> dict[str, JSON]:
    try:
        document = json.loads(answer.content) if answer.status == 200 else {}
    except ValueError:
        document = {}
    return document if isinstance(document, dict) else {}
