"""The way of an ordinary call: JSON, to Connect itself, without a proxy.

`requests` prepares each call anew: it merges cookies, settings and hooks, parses the address, looks
for the connection. For one address and one key that is always the same, and takes two thirds of a
call's processor time. So the session's connections, made by `requests` with the certificates and
timeouts that it knows of, are used directly. What is not ordinary goes through the session.
"""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
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
