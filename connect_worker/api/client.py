"""One account's connection to Connect."""

from __future__ import annotations

import json as json_module
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from time import perf_counter
from typing import IO, Any, Final, TypeVar

import requests
from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from connect_worker.api.responses import (
    read_json,
    read_rows,
    require_success,
    to_connection_error,
)
from connect_worker.api.transport import (
    CONNECT_TIMEOUT_SECONDS,
    BeforeCall,
    SessionPool,
    no_limit,
)
from connect_worker.config import Config
from connect_worker.exceptions import ApiError, ConnectionFailed, InvalidDocument, InvalidResponse
from connect_worker.rql import Filters, to_query, without_paging

_BLOCK_BYTES = 64 * 1024


class MultipartFile:
    """The body of an upload: one file as multipart form data, read while it is sent.

    With `files=`, `requests` would read the whole file into memory. It sends a body that has a
    length and can be iterated block by block, with a Content-Length. Each iteration starts at the
    beginning of the file, so a failed connection can be tried again.

    Args:
        field: The form field's name.
        filename: The name of the file for the server.
        file: A seekable binary file; it is read from its beginning and stays open.
    """

    def __init__(self, *, field: str, filename: str, file: IO[bytes]) -> None:
        part = RequestField(field, b"", filename)
        part.make_multipart()
        boundary = choose_boundary()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._file = file
        self._head = f"--{boundary}\r\n{part.render_headers()}".encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + self._file.seek(0, os.SEEK_END) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            yield block
        yield self._tail


_DIGIT: Final = re.compile("[0-9]")
_NO_DIGITS: Final = re.compile("[^0-9]+")

#: Connect's ids are shorter. A longer id is kept as it is.
_MAX_ID_CHARACTERS: Final = 64

Member = TypeVar("Member")


class IdSet:
    """A set of ids that only grows, and takes less memory than the ids themselves.

    The ids of a collection differ in their digits: `PR-5852-1608-0000` is kept as the number
    585216080000 under the shape `PR-0000-0000-0000`, which all ids of the collection share.
    """

    def __init__(self) -> None:
        self._numbers: defaultdict[str, set[int]] = defaultdict(set)
        self._others: set[str] = set()

    def add(self, name: str) -> bool:
        """Add an id; return False if it was there already."""
        digits = _NO_DIGITS.sub("", name)
        if not digits or len(name) > _MAX_ID_CHARACTERS:
            return _added(self._others, name)
        return _added(self._numbers[_DIGIT.sub("0", name)], int(digits))

    def copy(self) -> IdSet:
        """Return a second set with the same ids."""
        other = IdSet()
        other._numbers.update((shape, set(numbers)) for shape, numbers in self._numbers.items())
        other._others.update(self._others)
        return other


def _added(members: set[Member], member: Member) -> bool:
    before = len(members)
    members.add(member)
    return len(members) > before


JSON = Any

#: Called after a call, with its method, the error ("" for none) and the seconds it took.
Observer = Callable[[str, str, float], None]

Row = dict[str, JSON]

#: `items 0-99/250`; `items */0` of an empty collection.
_CONTENT_RANGE = re.compile(r"items\s+(?:\d+-\d+|\*)/(\d+)")
#: No collection has more rows than such a number says; Python refuses to read thousands of digits.
_MAX_COUNT_DIGITS: Final = 12

#: Connect's pages have no more rows than this.
LARGEST_PAGE = 1000

#: How long one call may wait for Connect's answer, unless the settings say otherwise.
TIMEOUT_SECONDS: Final = 30.0

#: Rows per page of a collection, unless the settings or the filters say otherwise.
PAGE_SIZE: Final = 500


class Client:
    """Connect's REST API as JSON documents.

    Paths are relative to the API URL (`requests/PR-…`). A GET is repeated after a connection error
    or a 5xx. Every other call is sent once; the caller decides whether to repeat it. The key never
    appears in an exception or a log.

    Args:
        url: The API of the account.
        key: The key of the service user.
        timeout_seconds: How long one call may wait for the answer.
        page_size: Rows per page of a collection.
        before_call: Called before each attempt to call Connect, including the repetitions of a GET.
            What it raises is passed on, and nothing is sent.
        observe: Called after each call that was sent, with the method, the error ("", a status or
            `no answer`) and the seconds it took.
        pool: Sends the calls and downloads, instead of the client's own sessions.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        page_size: int = PAGE_SIZE,
        before_call: BeforeCall = no_limit,
        observe: Observer | None = None,
        pool: SessionPool | None = None,
    ) -> None:
        self._observe = observe
        self.url = url.rstrip("/")
        self.page_size = page_size
        self._timeout = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._pool = pool or SessionPool(
            key, url=self.url, before_call=before_call, timeout_seconds=timeout_seconds
        )
        # Downloads are not calls to Connect: they have no rate limit.
        self._plain = pool or SessionPool()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Return the JSON document at the path."""
        response = self._call("GET", path, params=params)
        return read_json(response, method="GET", path=path)

    def get_all(self, path: str, query: Filters = None) -> Iterator[Row]:
        """Yield every row of a collection once, from all pages.

        Rows may leave the collection while it is read: a job approves a request, and later rows
        move up. So the first page, which says how many rows there are, is followed by the last one,
        and so on down to the first again: a row can only move to a page that is still to be read.
        Use an `ordering` by creation, so that new rows come at the end.

        A `limit` in the query is the size of a page, not of the collection.
        """
        text, asked = without_paging(to_query(query))
        size = min(asked or self.page_size, LARGEST_PAGE)
        rows, total = self._page(path, text, offset=0, limit=size)
        seen = IdSet()
        first = len(rows)
        step = first or size
        yield from _new(rows, seen)
        if total is None and first:
            total = step
            for more in self._pages_without_total(
                path, text, offset=step, limit=step, known=seen.copy()
            ):
                total += len(more)
                yield from _new(more, seen)
            first = 0
        if not total or total <= first:
            return
        for offset in range((total - 1) // step * step, -1, -step):
            rows, _ = self._page(path, text, offset=offset, limit=step)
            yield from _new(rows, seen)

    def get_text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """Return the text at the path (a rendered template)."""
        response = self._call("GET", path, params=params, headers={"Accept": "*/*"})
        if "charset" not in response.headers.get("Content-Type", ""):
            # Without a charset, requests reads `text/…` as Latin-1.
            response.encoding = "utf-8"
        return response.text

    def download(self, url: str) -> bytes:
        """Return the bytes at an absolute URL (a template link); the key is not sent there."""
        response = self._send(self._plain, "GET", url, path=url.partition("?")[0])
        return response.content

    def post(self, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """POST a document once; return the answer's document, or None without one."""
        return self.send("POST", path, json, key=key)

    def put(self, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """PUT a document once; return the answer's document, or None without one."""
        return self.send("PUT", path, json, key=key)

    def send(self, method: str, path: str, json: JSON = None, *, key: str = "") -> JSON:
        """Send a change once; `key` becomes the `Idempotency-Key` header."""
        headers = {"Idempotency-Key": key} if key else None
        response = self._call(method, path, json=json, headers=headers)
        return read_json(response, method=method, path=path)

    def upload(
        self, path: str, *, field: str, filename: str, content: bytes | IO[bytes], key: str = ""
    ) -> JSON:
        """POST one file as multipart form data, once; a file is read while it is sent."""
        file = BytesIO(content) if isinstance(content, bytes) else content
        body = MultipartFile(field=field, filename=filename, file=file)
        headers = {"Content-Type": body.content_type}
        if key:
            headers["Idempotency-Key"] = key
        response = self._call("POST", path, data=body, headers=headers)
        return read_json(response, method="POST", path=path)

    def _pages_without_total(
        self, path: str, query: str, *, offset: int, limit: int, known: IdSet
    ) -> Iterator[list[Row]]:
        """Yield page after page, if the answers do not say how many rows there are."""
        while True:
            rows, _ = self._page(path, query, offset=offset, limit=limit)
            # An endpoint without paging returns the same rows for any offset.
            if not list(_new(list(rows), known)):
                return
            offset += len(rows)
            yield rows

    def _page(
        self, path: str, query: str, *, offset: int, limit: int
    ) -> tuple[list[Row], int | None]:
        paging = f"limit={limit}&offset={offset}"
        response = self._call("GET", f"{path}?{query}&{paging}" if query else f"{path}?{paging}")
        rows = read_rows(response, method="GET", path=path)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match and len(match[1]) > _MAX_COUNT_DIGITS:
            raise InvalidResponse(method="GET", path=path, body=match[0])
        return rows, int(match[1]) if match else None

    def _call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        url, name = f"{self.url}/{path}", path.partition("?")[0]
        if self._observe is None:
            return self._send(self._pool, method, url, path=name, **kwargs)
        began = perf_counter()
        try:
            response = self._send(self._pool, method, url, path=name, **kwargs)
        except ApiError as error:
            self._observe(method, str(error.status), perf_counter() - began)
            raise
        except ConnectionFailed:
            self._observe(method, "no answer", perf_counter() - began)
            raise
        self._observe(method, "", perf_counter() - began)
        return response

    def _send(
        self, pool: SessionPool, method: str, url: str, *, path: str, **kwargs: Any
    ) -> requests.Response:
        """Send a call and return its success; `path` names it in errors."""
        kwargs["timeout"] = self._timeout
        with pool.session() as session:
            try:
                try:
                    response = session.call(method, url, **kwargs)
                except requests.exceptions.ChunkedEncodingError:
                    # The session repeats a GET without an answer; this answer is incomplete.
                    if method != "GET":
                        raise
                    response = session.call(method, url, **kwargs)
            except requests.exceptions.InvalidJSONError as exc:
                # Nothing was sent: the document is the caller's, and has a NaN or the like.
                raise InvalidDocument(f"{method} {path}", {"": f"no JSON: {exc}"}) from exc
            except requests.RequestException as exc:
                raise to_connection_error(exc, method=method, path=path) from exc
        require_success(response, method=method, path=path)
        return response


def client_for(
    config: Config | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    page_size: int = PAGE_SIZE,
    before_call: BeforeCall = no_limit,
    observe: Observer | None = None,
) -> Client:
    """Return the shared client of a config; None means the current config.

    The first call for an account makes its client with these arguments; later calls return it.
    """
    config = config or Config.get_instance()
    account = config.api_url, config.api_key
    with _making:
        if account not in _clients:
            _clients[account] = Client(
                *account,
                timeout_seconds=timeout_seconds,
                page_size=page_size,
                before_call=before_call,
                observe=observe,
            )
        return _clients[account]


@contextmanager
def using_client(config: Config, client: Client) -> Iterator[Client]:
    """Make `client_for` return this client for the config's account inside the with-block."""
    account = config.api_url, config.api_key
    with _making:
        former = _clients.get(account)
        _clients[account] = client
    try:
        yield client
    finally:
        with _making:
            if former is None:
                del _clients[account]
            else:
                _clients[account] = former


#: One client per account, with its pooled sessions, for the whole process.
_clients: Final[dict[tuple[str, str], Client]] = {}
_making: Final = threading.Lock()


def _new(rows: list[Row], seen: IdSet) -> Iterator[Row]:
    """Yield the rows that were not seen yet; a row without an id is identified by its content.

    Removes them from the list: a page is large, and must not stay while the next one is read.
    """
    rows.reverse()
    while rows:
        row = rows.pop()
        if seen.add(_name(row)):
            yield row


def _name(row: Row) -> str:
    name = row.get("id")
    if isinstance(name, str) and name:
        return name
    try:
        return json_module.dumps(row, sort_keys=True)
    except RecursionError:
        return "of too many levels"
