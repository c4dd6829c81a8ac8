"""HTTP sessions: pooled, authorised, always with a timeout; GETs are retried, nothing else is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

#: Seconds to wait for a TCP connection; the wait for the answer is the client's `timeout_seconds`.
CONNECT_TIMEOUT_SECONDS = 5.0

#: A GET is asked four times at most, about 0.3 + 0.6 + 1.2 s apart. A 429 is not retried here: the
#: whole account has to pause, which only the caller can arrange.
GET_RETRIES = Retry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)

#: A change is sent once. Only a connection that was never made is tried again.
NO_RETRIES = Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0)


class SessionPool:
    """`requests` sessions, one per use at a time, kept for the next use.

    A session is checked out, used by one thread (or greenlet) and put back, so that none is ever
    shared and connections are reused whatever the concurrency model. After a fork the child starts
    with an empty pool: a socket shared with the parent would mix up answers.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers
        self._idle: deque[requests.Session] = deque()
        self._pid = os.getpid()

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        """Lend a session for the length of a `with` block."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._open()
        try:
            yield session
        finally:
            self._idle.append(session)

    def close(self) -> None:
        """Close the idle sessions."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> requests.Session:
        session = requests.Session()
        session.headers.update(self._headers)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter())
        return session


class _Adapter(HTTPAdapter):
    """Retries GETs; sends everything else once."""

    def __init__(self) -> None:
        super().__init__(pool_connections=2, pool_maxsize=2)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request, with the retries that its method allows."""
        self.max_retries = GET_RETRIES if request.method == "GET" else NO_RETRIES
        return super().send(request, *args, **kwargs)
