"""HTTP sessions: pooled, authorized, within a budget; GETs are retried, nothing else is.

Every call goes through `requests`: `Session.send`, `Session.get_adapter` and `HTTPAdapter.send`. So
what replaces or wraps one of them sees each call, before the network or in its place: `responses`,
`requests-mock`, OpenTelemetry. A double of `requests.get` and the like, or of `Session.request`,
gets the call first: `call_double`.

For one address and one key most of what `requests` prepares never changes, and takes two thirds of
a call's processor time: cookies, settings and hooks, the address, the connection. So
`Session.prepare_plain` copies what was prepared once, and the adapter keeps the connection.

Each attempt has the same limits and passes `before_call` once. A body is read as it was sent and
decompressed here, within the limits.
"""

from __future__ import annotations

import json as json_module
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from connect_worker.api.connections import Budget, Guard, decompress, limit
from connect_worker.api.responses import encoding_of, to_response
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
        #: The address with all the calls, such as `https://connect.example/`, and its connections.
        self._origin: str | None = None
        self._pool: Any = None

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

    def bind(self, request: requests.PreparedRequest, verify: Any, cert: Any) -> None:
        """Keep the connections to a request's address: they need not be looked up for each call.

        Raises:
            OSError: The certificates to check the server with are missing.
        """
        pool = self.get_connection_with_tls_context(request, verify, cert=cert)
        self.cert_verify(pool, request.url, verify, cert)
        url = str(request.url)
        self._pool, self._origin = pool, url[: url.index("/", len("https://")) + 1]

    def _is_bound(self, url: str | None, proxies: Mapping[str, str] | None) -> bool:
        # What watches the calls may have given one another address.
        return bool(self._origin and url and url.startswith(self._origin) and not proxies)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the connections to an address."""
        if self._is_bound(request.url, proxies):
            return self._pool
        return super().get_connection_with_tls_context(request, verify, proxies, cert)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Set how a server is checked; for the address that it is bound to this was done once."""
        if conn is not self._pool:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]  # it is

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return what to ask a server for."""
        url = str(request.url)
        if self._origin and self._is_bound(url, proxies) and "#" not in url:
            return url[len(self._origin) - 1 :]
        return super().request_url(request, proxies)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the answer, without what is only for a person who reads it."""
        response = requests.Response.__new__(requests.Response)
        vars(response).update(_BLANK, history=[])
        response.status_code = resp.status
        # A mapping without regard to case too, and not copied.
        response.headers = resp.headers
        response.reason = resp.reason or ""
        response.url = str(req.url)
        response.raw = resp
        response.request = req
        response.connection = self
        return response

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


def plain_url(url: str, params: Mapping[str, str] | None) -> str | None:
    """Return a URL as `requests` prepares it; None if parts of it have to be quoted."""
    if not _PLAIN.fullmatch(url) or "/." in url or url.endswith("?"):
        return None
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url


# ---- doubles: what tests put in the place of functions of `requests`

_VERBS: Final = ("request", "get", "head", "post", "put", "patch", "delete")
_FUNCTIONS: Final = {verb: getattr(requests, verb) for verb in _VERBS}
_METHODS: Final = {verb: getattr(requests.Session, verb) for verb in _VERBS}


class _PassedOnError(Exception):
    """A double gave the call to the function whose place it has."""


class _Timeout(float):
    """The timeout that a double gets: what the SDK passed, since tests compare it.

    Only code that connects converts it to a number. That would be past the limits of a session.
    """

    def __float__(self) -> float:
        raise _PassedOnError


SDK_TIMEOUT: Final = _Timeout(300)


def _replaced(owner: Any, originals: Mapping[str, Any], method: str) -> list[str]:
    """Return which of an owner's functions for a method are doubles."""
    verbs = (method.lower(), "request")
    return [verb for verb in verbs if getattr(owner, verb) is not originals[verb]]


def call_double(verb: str, method: str, url: str, **options: Any) -> requests.Response | None:
    """Give a call to a double of a function of `requests`, with the arguments of the SDK's calls.

    Return None if the double passes the call on: then nothing was sent.
    """
    if verb == "request":
        options = {"method": method, **options}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        return to_response(getattr(requests, verb)(url=url, timeout=SDK_TIMEOUT, **options), url)
    except _PassedOnError:
        return None


# ---- bodies


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
    except ReadTimeoutError as exc:
        raise requests.ReadTimeout(exc) from exc
    except HTTPError as exc:
        raise requests.ConnectionError(exc) from exc
    finally:
        raw.release_conn()
    if "Content-Encoding" in raw.headers:
        body = decompress(body, raw.headers["Content-Encoding"], budget)
    # As `requests` keeps a body that it has read.
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]  # not in its types
    response.encoding = encoding_of(raw.headers)


class _NoCookies(RequestsCookieJar):
    """Keeps no cookie of a server, of which there may be more with each call."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Do nothing."""


#: A response as `requests` makes it, for a copy.
_BLANK: Final = vars(requests.Response())


class Session(requests.Session):
    """A session with one adapter, which prepares plain calls to one address fast."""

    def __init__(self, adapter: LimitedAdapter) -> None:
        super().__init__()
        self._adapter = adapter
        #: What the addresses of the calls begin with, and the same as `requests` prepares it.
        self._base = self._prepared_base = ""
        #: What `requests` and the authorization add to each call.
        self._prepared_headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        # What `decompress` can read.
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self.cookies = _NoCookies()

    def bind(self, url: str) -> None:
        """Send all calls to one address: look up proxies and certificates for it, once."""
        settings = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies.update(settings["proxies"])
        self.verify = settings["verify"]
        self.trust_env = False
        if not _ADDRESS.match(url):
            return
        request = self.prepare_request(requests.Request("GET", url))
        self._prepared_headers = request.headers
        if select_proxy(url, dict(self.proxies)):
            return
        self._adapter.bind(request, self.verify, self.cert)
        self._base, self._prepared_base = url, str(request.url).rstrip("/")

    def prepare_plain(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        json: Any,
        headers: Mapping[str, str] | None,
    ) -> requests.PreparedRequest | None:
        """Return the request that `requests` would prepare; None if that needs more than a copy."""
        full = plain_url(url, params)
        if not self._base or full is None or not full.startswith(self._base):
            return None
        prepared = requests.PreparedRequest()
        prepared.method = method
        prepared.url = self._prepared_base + full[len(self._base) :]
        prepared.headers = CaseInsensitiveDict()
        # Copied as a whole: key by key it takes longer than all else here.
        prepared.headers._store.update(self._prepared_headers._store)  # type: ignore[attr-defined]
        if headers:
            prepared.headers.update(headers)
        prepared.hooks = default_hooks()
        if json is not None:
            try:
                prepared.body = json_module.dumps(json, allow_nan=False).encode()
            except ValueError:
                return None
            prepared.headers["Content-Type"] = "application/json"
        if method != "GET":
            prepared.headers["Content-Length"] = str(len(prepared.body or b""))
        return prepared

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
        body = {"params": params, "json": json, "data": data}
        for verb in _replaced(requests, _FUNCTIONS, method):
            sent = self._sdk_headers(headers)
            response = call_double(verb, method, url, headers=sent, **body)
            if response is not None:
                return response
        # The connections themselves keep to the budget.
        timeout = min(CONNECT_TIMEOUT_SECONDS, budget.seconds), budget.seconds
        options: dict[str, Any] = {"timeout": timeout, "stream": True, "allow_redirects": False}
        prepared = None
        if data is None and not _replaced(requests.Session, _METHODS, method):
            prepared = self.prepare_plain(method, url, params=params, json=json, headers=headers)
        if prepared is None:
            send = getattr(self, method.lower())
            answer = send(url, headers=headers, **body, **options)
        else:
            answer = self.send(prepared, proxies={}, **options)
        response = to_response(answer, url)
        _read_body(response, budget)
        return response

    def _sdk_headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        key = self._prepared_headers.get("Authorization")
        own = {"Content-Type": "application/json", "Authorization": key} if key else {}
        return {**own, **(headers or {})}


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
