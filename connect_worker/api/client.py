"""One account's connection to Connect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import requests

from connect_worker.api.answers import read_json, to_connection_error, to_error
from connect_worker.api.rql import to_query
from connect_worker.api.session import CONNECT_TIMEOUT_SECONDS, SessionPool
from connect_worker.config import Config
from connect_worker.exceptions import InvalidResponse

JSON = Any

_CONTENT_RANGE = re.compile(r"items\s+(\d+)-(\d+)/(\d+)")


class Client:
    """Connect's REST API as JSON documents.

    Paths are relative to the API URL (`requests/PR-…`). A GET is repeated after a connection error
    or a 5xx; every other call is sent once, and whether it is repeated is the caller's decision.
    The key never appears in an exception or a log.
    """

    def __init__(
        self, url: str, key: str, *, timeout_seconds: float = 30.0, page_size: int = 500
    ) -> None:
        self.url = url.rstrip("/")
        self.page_size = page_size
        self._timeout = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._pool = SessionPool({"Authorization": key, "Accept": "application/json"})
        self._plain = SessionPool({})

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Return the JSON document at the path."""
        response = self._call("GET", path, params=params)
        return read_json(response, method="GET", path=path)

    def get_all(
        self, path: str, query: str | Mapping[str, object] | None = None
    ) -> Iterator[dict[str, JSON]]:
        """Yield every row of a collection, each once, all pages.

        Rows may leave the collection while it is read (a job approves a request and the later ones
        move up). So the pages after the first are read from the last to the first, and then the
        first once
        more: a row can only move to a page that is still to be read. Give an `ordering` by
            creation, so
        that new rows come at the end.
        """
        seen: set[str] = set()
        first, total = self._page(path, query, 0)
        yield from _new(first, seen)
        if total is None and len(first) >= self.page_size:
            yield from self._onwards(path, query, seen, len(first))
        if total is None or total <= len(first):
            return
        step = max(len(first), 1)
        last = (total - 1) // step * step
        for offset in range(last, -1, -step):
            rows, _ = self._page(path, query, offset, limit=step)
            yield from _new(rows, seen)

    def get_text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """Return the text at the path (a rendered template)."""
        return self._call("GET", path, params=params).text

    def download(self, url: str) -> bytes:
        """Return the bytes at an absolute URL (a template link); the key is not sent there."""
        with self._plain.session() as session:
            try:
                response = session.get(url, timeout=self._timeout)
            except requests.RequestException as exc:
                raise to_connection_error(exc, method="GET", path=url) from exc
        if not response.ok:
            raise to_error(response, method="GET", path=url)
        return response.content

    def post(self, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """POST a document once; the answer's document, or None when it has none."""
        return self.send("POST", path, json, key=key)

    def put(self, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """PUT a document once; the answer's document, or None when it has none."""
        return self.send("PUT", path, json, key=key)

    def send(self, method: str, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """Change something, once; `key` goes out as the `Idempotency-Key` header."""
        headers = {"Idempotency-Key": key} if key else None
        response = self._call(method, path, json=json, headers=headers)
        return read_json(response, method=method, path=path)

    def upload(self, path: str, *, field: str, filename: str, content: Any, key: str = "") -> JSON:
        """POST one file as multipart form data, once."""
        headers = {"Idempotency-Key": key} if key else None
        response = self._call("POST", path, files={field: (filename, content)}, headers=headers)
        return read_json(response, method="POST", path=path)

    def _onwards(
        self, path: str, query: str | Mapping[str, object] | None, seen: set[str], offset: int
    ) -> Iterator[dict[str, JSON]]:
        """Read on, page by page, where the answer does not tell how many rows there are."""
        while True:
            rows, _ = self._page(path, query, offset)
            if not rows:
                return
            yield from _new(rows, seen)
            offset += len(rows)

    def _page(
        self,
        path: str,
        query: str | Mapping[str, object] | None,
        offset: int,
        limit: int | None = None,
    ) -> tuple[list[dict[str, JSON]], int | None]:
        paging = f"limit={limit or self.page_size}&offset={offset}"
        text = to_query(query)
        response = self._call("GET", f"{path}?{text}&{paging}" if text else f"{path}?{paging}")
        rows = read_json(response, method="GET", path=path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidResponse(method="GET", path=path, body=response.text)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        return rows, int(match.group(3)) if match else None

    def _call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        with self._pool.session() as session:
            try:
                response = session.request(
                    method, f"{self.url}/{path}", timeout=self._timeout, **kwargs
                )
            except requests.RequestException as exc:
                raise to_connection_error(exc, method=method, path=path.partition("?")[0]) from exc
        if not response.ok:
            raise to_error(response, method=method, path=path.partition("?")[0])
        return response


@lru_cache(maxsize=64)
def _client(url: str, key: str) -> Client:
    return Client(url, key)


def client_for(config: Config | None = None) -> Client:
    """Return the shared client of a config; None means the config in force."""
    config = config or Config.get_instance()
    return _client(config.api_url, config.api_key)


def _new(rows: list[dict[str, JSON]], seen: set[str]) -> Iterator[dict[str, JSON]]:
    for row in rows:
        row_id = str(row.get("id", ""))
        if not row_id or row_id not in seen:
            seen.add(row_id)
            yield row
