"""HTTP sessions: pooled, authorised, always with a timeout; GETs are retried, nothing else is."""

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

# The way of an ordinary call: JSON, to Connect itself, without a proxy.
#
# `requests` prepares each call anew: it merges cookies, settings and hooks, parses the address,
# looks
# for the connection. For one address and one key that is always the same, and takes two thirds of
# a
# call's processor time. So the session's connections, made by `requests` with the certificates and
# timeouts that it knows of, are used directly. What is not ordinary goes through the session.

_ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)

#: Addresses that no part of has to be quoted.
_PLAIN = re.compile(r"[\w./~:?=&(),*;@!$'+-]*", re.ASCII)


class Shortcut:
    """Sends what is ordinary over a session's connections.

    Args:
        session: Gives the headers that all calls have.
        pool: Its connections to Connect, an `urllib3` pool.
    """

    def __init__(self, session: requests.Session, pool: Any) -> None:
        self._pool = pool
        request = requests.Request("GET", "http://connect.invalid")
        # With what the session's authorisation adds.
        self._headers = dict(session.prepare_request(request).headers)

    @classmethod
    def through(cls, session: requests.Session, adapter: HTTPAdapter, url: str) -> Shortcut | None:
        """Return the shortcut to an address; None where a proxy is in between, or it is no address.

        Raises:
            OSError: The certificates to check the server with are not there.
        """
        if not _ADDRESS.match(url) or select_proxy(url, dict(session.proxies)):
            return None
        request = requests.Request("GET", url).prepare()
        verify, cert = session.verify, session.cert
        pool = adapter.get_connection_with_tls_context(request, verify, cert=cert)
        adapter.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]  # it is
        return cls(session, pool)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        json: Any,
        headers: Mapping[str, str] | None,
        timeout: tuple[float, float],
        retries: Retry,
    ) -> requests.Response | None:
        """Send a call; its answer, with the whole body read.

        None, and nothing is sent, when the call is not ordinary after all.

        Raises:
            requests.RequestException: No answer, as `requests` tells it.
        """
        target = to_target(url, params)
        if target is None:
            return None
        body, sent = None, {**self._headers, **(headers or {})}
        if json is not None:
            try:
                body = json_module.dumps(json, allow_nan=False).encode()
            except ValueError:
                return None
            sent["Content-Type"] = "application/json"
        try:
            answer = self._pool.urlopen(
                method,
                target,
                body=body,
                headers=sent,
                retries=retries,
                timeout=Timeout(connect=timeout[0], read=timeout[1]),
                redirect=False,
                assert_same_host=False,
            )
        except HTTPError as exc:
            raise _as_requests_tell(exc) from exc
        return _response(answer, url)


def to_target(url: str, params: Mapping[str, str] | None) -> str | None:
    """Return what follows the host in an address; None when parts of it have to be rewritten."""
    if not _PLAIN.fullmatch(url) or "/." in url:
        return None
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(params or {}))))
    return f"{parts.path}?{query}" if query else parts.path


def _response(answer: BaseHTTPResponse, url: str) -> requests.Response:
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


def _as_requests_tell(exc: HTTPError) -> requests.RequestException:
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


#: Asked before each attempt to call: it returns when the call may be sent, or raises.
Turnstile = Callable[[], None]


def always_open() -> None:
    """Let every call pass."""


class _PoliteRetry(Retry):
    """Waits between attempts as urllib3 does, and then passes the turnstile for the next one."""

    turnstile: Turnstile = staticmethod(always_open)
    asks_silence_again: bool = True

    def behind(self, turnstile: Turnstile, *, asks_silence_again: bool) -> Self:
        """Return the same rules for calls that pass this turnstile."""
        made = self.new()
        made.turnstile, made.asks_silence_again = turnstile, asks_silence_again
        return made

    def new(self, **kw: Any) -> Self:
        """Return the rules that are left for the attempts to come; urllib3 makes them anew."""
        made = super().new(**kw)
        made.turnstile, made.asks_silence_again = self.turnstile, self.asks_silence_again
        return made

    def increment(
        self, method: str | None = None, url: str | None = None, *args: Any, **kwargs: Any
    ) -> Self:
        """Return the rules that are left after a failure, or raise it."""
        error = kwargs.get("error")
        if isinstance(error, ReadTimeoutError) and not self.asks_silence_again:
            raise error
        return super().increment(method, url, *args, **kwargs)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait for the time of the next attempt."""
        super().sleep(response)
        self.turnstile()


#: Seconds to wait for a TCP connection; the wait for the answer is the client's `timeout_seconds`.
CONNECT_TIMEOUT_SECONDS = 5.0

#: A call that was not answered for so long is not sent again at once: a Connect that hangs would
#: hold up each job four times as long.
SILENCE_SECONDS = 10.0

#: A GET is asked four times at most: again at once, and 0.6 and 1.2 s later. A 429 is not retried
#: here: the whole account has to pause, which only the caller can arrange.
GET_RETRIES = _PoliteRetry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)

#: A change is sent once. Only a connection that was never made is tried again.
NO_RETRIES = _PoliteRetry(
    total=1,
    connect=1,
    read=0,
    redirect=0,
    status=0,
    other=0,
    # By itself urllib3 sends a PUT again after a 429.
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
)


class SessionPool:
    """`requests` sessions, one per use at a time, kept for the next use.

    A session is checked out, used by one thread (or greenlet) and put back, so that none is ever
    shared and connections are reused whatever the concurrency model. After a fork the child starts
    with an empty pool: a socket shared with the parent would mix up answers.

    Args:
        key: The value of the `Authorization` header; "" sends none.
        url: Where all calls go; the environment's proxies and certificates for it are then looked
            up once a session. "" looks them up for each call, as `requests` does.
        turnstile: Asked before each attempt of each call.
        timeout_seconds: How long its callers wait for an answer.

    Raises:
        SettingsError: The key can't be sent in a header.
    """

    def __init__(
        self,
        key: str = "",
        *,
        url: str = "",
        turnstile: Turnstile = always_open,
        timeout_seconds: float = SILENCE_SECONDS,
    ) -> None:
        if not (key.isascii() and key.isprintable()):
            # The HTTP library's own error about it would show the key.
            raise SettingsError("the API key has characters that no key has (non-ASCII ones)")
        self._auth = _KeyAuth(key) if key else _NoAuth()
        self._url = url
        self._turnstile = turnstile
        self._asks_silence_again = timeout_seconds < SILENCE_SECONDS
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
            # Into the deque it came from: a child that was forked meanwhile has another by now.
            idle.append(session)

    def close(self) -> None:
        """Close the idle sessions."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> Session:
        adapter = _Adapter(self._turnstile, asks_silence_again=self._asks_silence_again)
        session = Session(adapter)
        if isinstance(self._auth, _KeyAuth):
            session.headers["Accept"] = "application/json"
        session.auth = self._auth
        if self._url:
            session.settle_on(self._url)
        return session


class Session(requests.Session):
    """A session with one adapter, and a shortcut where all calls have one address."""

    def __init__(self, adapter: _Adapter) -> None:
        super().__init__()
        self._adapter = adapter
        self._shortcut: Shortcut | None = None
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def settle_on(self, url: str) -> None:
        """Take all calls to go to one address: look up proxies and certificates for it, once."""
        found = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies.update(found["proxies"])
        self.verify = found["verify"]
        self.trust_env = False
        self._shortcut = Shortcut.through(self, self._adapter, url)

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
            requests.RequestException: No answer.
        """
        response = None
        if self._shortcut and data is None:
            retries = self._adapter.retries_of(method)
            self._adapter.turnstile()
            response = self._shortcut.send(
                method,
                url,
                params=params,
                json=json,
                headers=headers,
                timeout=timeout,
                retries=retries,
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


class _KeyAuth(AuthBase):
    """Authorises with the key; being there, it keeps requests from looking into a `.netrc`."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = self._key
        return request


class _NoAuth(AuthBase):
    """Authorises with nothing."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave the request as it is."""
        return request


class _Adapter(HTTPAdapter):
    """Retries GETs; sends everything else once; passes the turnstile before every attempt."""

    def __init__(self, turnstile: Turnstile, *, asks_silence_again: bool) -> None:
        super().__init__(pool_connections=2, pool_maxsize=2)
        self.turnstile = turnstile
        self._get_retries = GET_RETRIES.behind(turnstile, asks_silence_again=asks_silence_again)
        self._no_retries = NO_RETRIES.behind(turnstile, asks_silence_again=asks_silence_again)

    def retries_of(self, method: str | None) -> Retry:
        """Return how often a call may be sent."""
        return self._get_retries if method == "GET" else self._no_retries

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request, with the retries that its method allows."""
        self.max_retries = self.retries_of(request.method)
        self.turnstile()
        return super().send(request, *args, **kwargs)
