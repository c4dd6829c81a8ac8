"""HTTP sessions: pooled, authorized, always with a timeout; GETs are retried, nothing else is.

A call takes one of two ways. `requests` prepares each call from scratch: it merges cookies,
settings and hooks, parses the address and looks for the connection. For one address and one key the
result never changes, and takes two thirds of a call's processor time. So `FastPath` sends an
ordinary call (JSON, to Connect itself, without a proxy) directly over the session's connections.
`requests` sends all other calls. It also sends every call while something replaces a method of
`requests` or its adapter to see the calls: `responses`, `requests-mock`, an instrumentation.

Both ways have the same connections, retries and errors, and each attempt passes `before_call` once.
"""

from __future__ import annotations

import json as json_module
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, select_proxy
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout
from urllib3.util.retry import Retry

from connect_worker.exceptions import SettingsError

#: Called before each attempt to call Connect: it returns when the call may be sent, or raises.
BeforeCall = Callable[[], None]


def no_limit() -> None:
    """Let every call pass."""


class _RateLimitedRetry(Retry):
    """Waits between attempts as urllib3 does, then calls `before_call` for the next attempt."""

    before_call: BeforeCall = staticmethod(no_limit)
    repeats_timeouts: bool = True

    def copy_with(self, before_call: BeforeCall, *, repeats_timeouts: bool) -> Self:
        """Return the same rules, with these two changed."""
        made = self.new()
        made.before_call, made.repeats_timeouts = before_call, repeats_timeouts
        return made

    def new(self, **kw: Any) -> Self:
        """Return the rules for the attempts that are left; urllib3 makes them after each one."""
        made = super().new(**kw)
        made.before_call, made.repeats_timeouts = self.before_call, self.repeats_timeouts
        return made

    def increment(
        self, method: str | None = None, url: str | None = None, *args: Any, **kwargs: Any
    ) -> Self:
        """Return the rules that are left after a failure, or raise the failure."""
        error = kwargs.get("error")
        if isinstance(error, ReadTimeoutError) and not self.repeats_timeouts:
            raise error
        return super().increment(method, url, *args, **kwargs)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait until the next attempt may be sent."""
        super().sleep(response)
        self.before_call()


#: Seconds to wait for a TCP connection; the wait for the answer is the client's `timeout_seconds`.
CONNECT_TIMEOUT_SECONDS = 5.0

#: A call that got no answer for so long is not repeated at once: a Connect that hangs would delay
#: each job four times as long.
SILENCE_SECONDS = 10.0

#: A GET is sent four times at most: again at once, and 0.6 and 1.2 s later. A 429 is not retried
#: here: the whole account has to stop, and only the caller can arrange that.
GET_RETRIES = _RateLimitedRetry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)

#: A change is sent once. Only a connection that was never made is tried again.
NO_RETRIES = _RateLimitedRetry(
    total=1,
    connect=1,
    read=0,
    redirect=0,
    status=0,
    other=0,
    # By default urllib3 sends a PUT again after a 429.
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
)


class GatedAdapter(HTTPAdapter):
    """Retries GETs, sends everything else once, and calls `before_call` before every attempt."""

    def __init__(self, before_call: BeforeCall, *, repeats_timeouts: bool) -> None:
        super().__init__(pool_connections=2, pool_maxsize=2)
        self.before_call = before_call
        self._get_retries = GET_RETRIES.copy_with(before_call, repeats_timeouts=repeats_timeouts)
        self._no_retries = NO_RETRIES.copy_with(before_call, repeats_timeouts=repeats_timeouts)

    def retries_for(self, method: str | None) -> Retry:
        """Return how often a call may be sent."""
        return self._get_retries if method == "GET" else self._no_retries

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request, with the retries that its method allows."""
        self.max_retries = self.retries_for(request.method)
        self.before_call()
        return super().send(request, *args, **kwargs)


_ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)

#: URLs in which nothing has to be quoted.
_PLAIN = re.compile(r"[\w./~:?=&(),*;@!$'+-]*", re.ASCII)


class FastPath:
    """Sends ordinary calls over a session's connections.

    Args:
        session: Provides the headers that all calls have.
        adapter: Has the retries and `before_call`.
        pool: The adapter's connections to Connect, an `urllib3` pool.
    """

    def __init__(self, session: requests.Session, adapter: GatedAdapter, pool: Any) -> None:
        self._adapter = adapter
        self._pool = pool
        request = requests.Request("GET", "http://connect.invalid")
        # Includes what the session's authorization adds.
        self._headers = dict(session.prepare_request(request).headers)

    @classmethod
    def to(cls, url: str, session: requests.Session, adapter: GatedAdapter) -> FastPath | None:
        """Return the fast path to an address; None behind a proxy, or if it is no HTTP address.

        Raises:
            OSError: The certificates to check the server with are missing.
        """
        if not _ADDRESS.match(url) or select_proxy(url, dict(session.proxies)):
            return None
        request = requests.Request("GET", url).prepare()
        verify, cert = session.verify, session.cert
        pool = adapter.get_connection_with_tls_context(request, verify, cert=cert)
        adapter.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]  # it is
        return cls(session, adapter, pool)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        json: Any,
        headers: Mapping[str, str] | None,
        timeout: tuple[float, float],
    ) -> requests.Response | None:
        """Send a call; return its answer with the whole body read.

        Returns None, without sending anything or asking the rate limiter, for other calls.

        Raises:
            requests.RequestException: There was no answer. The class is the one that `requests`
                raises for it.
        """
        target = to_target(url, params)
        if target is None or _is_observed():
            return None
        body, sent = None, {**self._headers, **(headers or {})}
        if json is not None:
            try:
                body = json_module.dumps(json, allow_nan=False).encode()
            except ValueError:
                return None
            sent["Content-Type"] = "application/json"
        self._adapter.before_call()
        try:
            answer = self._pool.urlopen(
                method,
                target,
                body=body,
                headers=sent,
                retries=self._adapter.retries_for(method),
                timeout=Timeout(connect=timeout[0], read=timeout[1]),
                redirect=False,
                assert_same_host=False,
            )
        except HTTPError as exc:
            raise _to_requests_error(exc) from exc
        return _to_response(answer, url)


def to_target(url: str, params: Mapping[str, str] | None) -> str | None:
    """Return what follows the host in an address; None if parts of it have to be quoted."""
    if not _PLAIN.fullmatch(url) or "/." in url:
        return None
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(params or {}))))
    return f"{parts.path}?{query}" if query else parts.path


def _is_observed() -> bool:
    """Whether something has replaced a method of `requests`, to see or to answer the calls."""
    methods = (requests.Session.send, requests.Session.get_adapter, HTTPAdapter.send)
    return any(
        not method.__module__.startswith("requests.") or hasattr(method, "__wrapped__")
        for method in methods
    )


def _to_response(answer: BaseHTTPResponse, url: str) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.reason = answer.reason or ""
    response.url = url
    response.raw = answer
    # As `requests` keeps a body that it has read.
    response._content = answer.data
    response._content_consumed = True  # type: ignore[attr-defined]  # not in its types
    return response


def _to_requests_error(exc: HTTPError) -> requests.RequestException:
    """Return the exception that `requests` makes of it; `args[0]` is the original."""
    reason = exc.reason if isinstance(exc, MaxRetryError) else exc
    match reason:
        case NewConnectionError():
            return requests.ConnectionError(exc)
        case ConnectTimeoutError():
            return requests.ConnectTimeout(exc)
        case ReadTimeoutError():
            return requests.ReadTimeout(exc)
        case SSLError():
            return requests.exceptions.SSLError(exc)
        case _:
            return requests.ConnectionError(exc)


class Session(requests.Session):
    """A session with one adapter, and a fast path if all its calls go to one address."""

    def __init__(self, adapter: GatedAdapter) -> None:
        super().__init__()
        self._adapter = adapter
        self._fast_path: FastPath | None = None
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def bind(self, url: str) -> None:
        """Send all calls to one address: look up proxies and certificates for it, once."""
        settings = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies.update(settings["proxies"])
        self.verify = settings["verify"]
        self.trust_env = False
        self._fast_path = FastPath.to(url, self, self._adapter)

    def call(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        """Send one call, with the retries that its method allows; a GET follows redirections.

        Raises:
            requests.RequestException: There was no answer.
        """
        response = None
        if self._fast_path and data is None:
            response = self._fast_path.send(
                method, url, params=params, json=json, headers=headers, timeout=timeout
            )
        if response is None or (method == "GET" and response.is_redirect):
            response = self.request(
                method,
                url,
                params=params,
                json=json,
                headers=headers,
                data=data,
                timeout=timeout,
                # A redirected POST would be sent twice, or become a GET.
                allow_redirects=method == "GET",
            )
        return response


class SessionPool:
    """`requests` sessions, one per use at a time, kept for the next use.

    A session is checked out, used by one thread (or greenlet) and put back. So no session is ever
    shared, and connections are reused with any concurrency model. After a fork the child starts
    with an empty pool: a socket that it shares with the parent would mix up answers.

    Args:
        key: The value of the `Authorization` header; "" sends none.
        url: The address of all calls; each session then looks up the environment's proxies and
            certificates once. "" looks them up for each call, as `requests` does.
        before_call: Called before each attempt of each call.
        timeout_seconds: How long a caller waits for an answer.

    Raises:
        SettingsError: The key contains characters that a header can't carry.
    """

    def __init__(
        self,
        key: str = "",
        *,
        url: str = "",
        before_call: BeforeCall = no_limit,
        timeout_seconds: float = SILENCE_SECONDS,
    ) -> None:
        if not (key.isascii() and key.isprintable()):
            # The HTTP library's own error about it would show the key.
            raise SettingsError("The API key contains characters that are not allowed (non-ASCII).")
        self._auth = _KeyAuth(key) if key else _NoAuth()
        self._url = url
        self._before_call = before_call
        self._repeats_timeouts = timeout_seconds < SILENCE_SECONDS
        self._idle: deque[Session] = deque()
        self._pid = os.getpid()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session for the length of a `with` block."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._open()
        idle = self._idle
        try:
            yield session
        finally:
            # Into the deque it came from: a child process forked in between has its own deque.
            idle.append(session)

    def close(self) -> None:
        """Close the idle sessions."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> Session:
        adapter = GatedAdapter(self._before_call, repeats_timeouts=self._repeats_timeouts)
        session = Session(adapter)
        if isinstance(self._auth, _KeyAuth):
            session.headers["Accept"] = "application/json"
        session.auth = self._auth
        if self._url:
            session.bind(self._url)
        return session


class _KeyAuth(AuthBase):
    """Authorizes with the key; being there, it keeps requests from looking into a `.netrc`."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = self._key
        return request


class _NoAuth(AuthBase):
    """Authorizes with nothing."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave the request as it is."""
        return request
