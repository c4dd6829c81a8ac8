"""HTTP sessions: pooled, authorized, within a budget; GETs are retried, nothing else is.

A call takes one of two ways. `requests` prepares each call from scratch: it merges cookies,
settings and hooks, parses the address and looks for the connection. For one address and one key the
result never changes, and takes two thirds of a call's processor time. So `FastPath` sends an
ordinary call (JSON, to Connect itself, without a proxy) directly over the session's connections.
`requests` sends all other calls. It also sends every call while something replaces a method of
`requests` or its adapter to see the calls: `responses`, `requests-mock`, an instrumentation.

Both ways have the same connections, limits, retries and errors, and each attempt passes
`before_call` once. A body is read as it was sent and decompressed here, within the limits.
"""

from __future__ import annotations

import json as json_module
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout
from urllib3.util.retry import Retry

from connect_worker.api.connections import Budget, Guard, decompress, limit
from connect_worker.exceptions import SettingsError

#: Called before each attempt to call Connect: it returns when the call may be sent, or raises.
BeforeCall = Callable[[], None]


def no_limit() -> None:
    """Let every call pass."""


class _LimitedRetry(Retry):
    """Retries while the adapter's budget lasts; waits for the rate limiter before an attempt."""

    adapter: LimitedAdapter

    def copy_for(self, adapter: LimitedAdapter) -> Self:
        """Return the same rules for an adapter."""
        made = super().new()
        made.adapter = adapter
        return made

    def new(self, **kw: Any) -> Self:
        """Return the rules for the attempts that are left; urllib3 makes them after each one."""
        made = super().new(**kw)
        made.adapter = self.adapter
        return made

    def increment(
        self, method: str | None = None, url: str | None = None, *args: Any, **kwargs: Any
    ) -> Self:
        """Return the rules that are left after a failure, or raise the failure."""
        left = super().increment(method, url, *args, **kwargs)
        if self.adapter.budget.is_over(after_seconds=left.get_backoff_time()):
            raise MaxRetryError(kwargs["_pool"], url or "", kwargs.get("error"))
        return left

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait until the next attempt may be sent."""
        super().sleep(response)
        self.adapter.wait()


#: Seconds to wait for a TCP connection to one address.
CONNECT_TIMEOUT_SECONDS = 5.0

#: A GET is sent four times at most: again at once, and 0.6 and 1.2 s later. A 429 is not retried
#: here: the whole account has to stop, and only the caller can arrange that.
GET_RETRIES = _LimitedRetry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)

#: A change is sent once. Only a connection that was never made is tried again.
NO_RETRIES = _LimitedRetry(
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


class LimitedAdapter(HTTPAdapter):
    """Retries GETs, sends everything else once, and calls `before_call` before every attempt.

    Args:
        before_call: Returns when an attempt may be sent, or raises.
        guard: Checks where connections lead to; None for an adapter that only calls Connect.
    """

    def __init__(self, before_call: BeforeCall, guard: Guard | None = None) -> None:
        #: Of the call that is made now: a session is used by one caller at a time.
        self.budget = Budget(seconds=0, max_bytes=0)
        self._guard = guard
        super().__init__(pool_connections=2, pool_maxsize=2)
        self._before_call = before_call
        self._get_retries = GET_RETRIES.copy_for(self)
        self._no_retries = NO_RETRIES.copy_for(self)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections without a proxy."""
        super().init_poolmanager(*args, **kwargs)
        limit(self.poolmanager, self, self._guard)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the connections over a proxy."""
        is_known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not is_known:
            limit(manager, self, self._guard)
        return manager

    def wait(self) -> None:
        """Return when the next attempt may be sent; this takes no time of the call."""
        if self._before_call is not no_limit:
            self.budget.wait(self._before_call)

    def retries_for(self, method: str | None) -> Retry:
        """Return how often a call may be sent."""
        return self._get_retries if method == "GET" else self._no_retries

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request, with the retries that its method allows."""
        self.max_retries = self.retries_for(request.method)
        self.wait()
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

    def __init__(self, session: requests.Session, adapter: LimitedAdapter, pool: Any) -> None:
        self._adapter = adapter
        self._pool = pool
        request = requests.Request("GET", "http://connect.invalid")
        # Includes what the session's authorization adds.
        self._headers = dict(session.prepare_request(request).headers)

    @classmethod
    def to(cls, url: str, session: requests.Session, adapter: LimitedAdapter) -> FastPath | None:
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
    ) -> requests.Response | None:
        """Send a call; return its answer with the whole body read.

        Returns None, without sending anything or asking the rate limiter, for other calls.

        Raises:
            requests.RequestException: There was no answer. The class is the one that `requests`
                raises for it.
            AnswerRefusedError: The answer exceeds the budget.
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
        self._adapter.wait()
        try:
            answer = self._pool.urlopen(
                method,
                target,
                body=body,
                headers=sent,
                retries=self._adapter.retries_for(method),
                timeout=Timeout(*_timeout(self._adapter.budget)),
                redirect=False,
                assert_same_host=False,
                decode_content=False,
            )
        except HTTPError as exc:
            raise _to_requests_error(exc) from exc
        response = _to_response(answer, url)
        _set_body(response, answer, answer.data, self._adapter.budget)
        return response


def _timeout(budget: Budget) -> tuple[float, float]:
    """Return what the libraries ask for; the connections themselves keep to the budget."""
    return min(CONNECT_TIMEOUT_SECONDS, budget.seconds), budget.seconds


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
    response.reason = answer.reason or ""
    response.url = url
    response.raw = answer
    return response


def _read_body(response: requests.Response, budget: Budget) -> None:
    """Read the body of an answer that `requests` has not read."""
    raw = response.raw
    if getattr(response, "_content", None) or not isinstance(raw, BaseHTTPResponse):
        # Something that answers in place of the network made it.
        return
    try:
        body = raw.read(decode_content=False)
    except ProtocolError as exc:
        raise requests.exceptions.ChunkedEncodingError(exc) from exc
    except HTTPError as exc:
        raise _to_requests_error(exc) from exc
    finally:
        raw.release_conn()
    _set_body(response, raw, body, budget)


def _set_body(
    response: requests.Response, answer: BaseHTTPResponse, body: bytes, budget: Budget
) -> None:
    if "Content-Encoding" in answer.headers:
        body = decompress(body, answer.headers["Content-Encoding"], budget)
    # As `requests` keeps a body that it has read.
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]  # not in its types
    # Without an encoding `requests` would look for one in the whole body. Python knows some that
    # take much time.
    charset = _CHARSET.search(answer.headers.get("Content-Type", ""))
    name = charset[1].lower() if charset else ""
    response.encoding = name if name in _CHARSETS else "utf-8"


_CHARSET = re.compile(r"charset=[\"']?([\w-]{1,20})", re.IGNORECASE | re.ASCII)
_CHARSETS = frozenset(("us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16", "utf-32"))


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

    def __init__(self, adapter: LimitedAdapter) -> None:
        super().__init__()
        self._adapter = adapter
        self._fast_path: FastPath | None = None
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        # What `decompress` can read.
        self.headers["Accept-Encoding"] = "gzip, deflate"
        # A server may not have its cookies kept, of which there may be more with each call.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def bind(self, url: str) -> None:
        """Send all calls to one address: look up proxies and certificates for it, once."""
        settings = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies.update(settings["proxies"])
        self.verify = settings["verify"]
        self.trust_env = False
        self._fast_path = FastPath.to(url, self, self._adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nothing: `requests` would read the body of a redirection without a limit."""

    def call(
        self,
        method: str,
        url: str,
        *,
        budget: Budget,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        """Send one call, with the retries that its method allows; follow no redirection.

        Raises:
            requests.RequestException: There was no answer.
            AnswerRefusedError: The answer exceeds the budget, or is from a forbidden address.
        """
        self._adapter.budget = budget
        if self._fast_path and data is None:
            response = self._fast_path.send(method, url, params=params, json=json, headers=headers)
            if response is not None:
                return response
        response = self.request(
            method,
            url,
            params=params,
            json=json,
            headers=headers,
            data=data,
            timeout=_timeout(budget),
            stream=True,
            allow_redirects=False,
        )
        _read_body(response, budget)
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
        guard: Checks where the calls lead to; None for calls to Connect.

    Raises:
        SettingsError: The key contains characters that a header can't carry.
    """

    def __init__(
        self,
        key: str = "",
        *,
        url: str = "",
        before_call: BeforeCall = no_limit,
        guard: Guard | None = None,
    ) -> None:
        if not (key.isascii() and key.isprintable()):
            # The HTTP library's own error about it would show the key.
            raise SettingsError("The API key contains characters that are not allowed (non-ASCII).")
        self._auth = _KeyAuth(key) if key else _NoAuth()
        self._url = url
        self._before_call = before_call
        self._guard = guard
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
        session = Session(LimitedAdapter(self._before_call, self._guard))
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
