"""A client's calls as values, and who answers them: the place where HTTP is swapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlencode

import requests
from requests.structures import CaseInsensitiveDict

from connect_worker.api.client import TIMEOUT_SECONDS
from connect_worker.api.transport import CONNECT_TIMEOUT_SECONDS, Session, SessionPool
from connect_worker.config import Config
from connect_worker.domain.states import JSON


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
        """The path without a closing slash."""
        return self.path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Response:
    """What comes back."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: JSON, *, status: int = 200) -> Response:
        """Answer with a JSON document."""
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    @classmethod
    def of_text(cls, text: str) -> Response:
        """Answer with a text, as a rendered template is."""
        return cls(200, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


#: Answers calls; raises what `requests` raises where none comes back.
Transport = Callable[[Request], Response]


class TransportPool(SessionPool):
    """Sessions without sockets: each call goes to a carrier.

    Args:
        url: Where the API is; paths are relative to it.
        carry: Answers.
    """

    def __init__(self, url: str, carry: Transport) -> None:
        super().__init__()
        self._base = url.rstrip("/") + "/"
        self._carry = carry

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend what looks like a session to the client."""
        # The client asks a session for `call` alone.
        yield cast("Session", self)

    def call(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],  # noqa: ARG002 - a carrier has its own
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        """Have one call answered, in the shape that `requests` gives it."""
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
        return _response(self._carry(sent), url)


def _response(answer: Response, url: str) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.url = url
    response.raw = BytesIO(answer.content)
    return response


# The account itself as the one who answers.


class LiveTransport:
    """Reads from an account over the network; it refuses to carry anything that changes.

    Args:
        config: Whose API, and the key.
        timeout_seconds: How long one call may wait for the answer.
    """

    def __init__(self, config: Config, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = config.api_url.rstrip("/")
        self._timeout = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._pool = SessionPool(config.api_key, url=self._url)
        # The key is for Connect alone, not for where a download lies.
        self._plain = SessionPool()

    def __call__(self, sent: Request) -> Response:
        """Answer with what the account says."""
        if not sent.is_read:
            raise AssertionError(f"{sent.method} {sent.path} is no read")
        is_download = "://" in sent.path
        url = sent.path if is_download else f"{self._url}/{sent.path}"
        pool = self._plain if is_download else self._pool
        with pool.session() as session:
            response = session.call(
                sent.method, f"{url}?{sent.query}" if sent.query else url, timeout=self._timeout
            )
        return Response(response.status_code, response.content, dict(response.headers))
