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

from connect_worker.api.responses import read_json, require_success, to_connection_error
from connect_worker.api.transport import (
    CONNECT_TIMEOUT_SECONDS,
    SessionPool,
    Turnstile,
    always_open,
)
from connect_worker.config import Config
from connect_worker.exceptions import ApiError, ConnectionFailed, InvalidResponse
from connect_worker.rql import Filters, to_query, without_paging

_BLOCK_BYTES = 64 * 1024


class MultipartFile:
    """The body of an upload: its length, its type and, block by block, its bytes.

    `requests` would read the whole file for its `files=`; a body that has a length and can be
    iterated is sent as it comes, with a Content-Length. Each iteration starts at the file's
    beginning, so that a connection that could not be made is no loss.

    Args:
        field: The form field's name.
        filename: What the server is told the file's name is.
        file: A binary file that can seek; it is read from its beginning and left open.
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

#: Is told of a call: its method, what went wrong, and how many seconds it took.
Observer = Callable[[str, str, float], None]

Row = dict[str, JSON]

#: `items 0-99/250`; `items */0` of an empty collection.
_CONTENT_RANGE = re.compile(r"items\s+(?:\d+-\d+|\*)/(\d+)")

#: Connect's pages have no more rows than this.
LARGEST_PAGE = 1000

#: How long one call may wait for Connect's answer, unless the settings say otherwise.
TIMEOUT_SECONDS: Final = 30.0

#: Rows per page of a collection, unless the settings or the filters say otherwise.
PAGE_SIZE: Final = 500


class Client:
    """Connect's REST API as JSON documents.

    Paths are relative to the API URL (`requests/PR-…`). A GET is repeated after a connection error
    or a 5xx; every other call is sent once, and whether it is repeated is the caller's decision.
    The key never appears in an exception or a log.

    Args:
        url: The API of the account.
        key: The service user's.
        timeout_seconds: How long one call may wait for the answer.
        page_size: Rows per page of a collection.
        turnstile: Asked before each attempt to call Connect, a GET's repetitions included; what it
            raises is passed on, and nothing is sent.
        observe: Told of each call that was sent, its repetitions included: the method, what went
            wrong ("", a status, `no answer`), and the seconds that it took.
        pool: Carries the calls, downloads too, instead of sessions of the client's own.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        page_size: int = PAGE_SIZE,
        turnstile: Turnstile = always_open,
        observe: Observer | None = None,
        pool: SessionPool | None = None,
    ) -> None:
        self._observe = observe
        self.url = url.rstrip("/")
        self.page_size = page_size
        self._timeout = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._pool = pool or SessionPool(
            key, url=self.url, turnstile=turnstile, timeout_seconds=timeout_seconds
        )
        # Downloads are no calls to Connect: nothing paces them.
        self._plain = pool or SessionPool()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Return the JSON document at the path."""
        response = self._call("GET", path, params=params)
        return read_json(response, method="GET", path=path)

    def get_all(self, path: str, query: Filters = None) -> Iterator[Row]:
        """Yield every row of a collection, each once, all pages.

        Rows may leave the collection while it is read: a job approves a request, and the later ones
        move up. So after the first page, which tells how many there are, the others are read from
        the last to the first, and the first once more: a row can only move to a page that is still
        to be read. Give an `ordering` by creation, so that new rows come at the end.

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
            for more in self._onwards(path, text, offset=step, limit=step, known=seen.copy()):
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
            # Without one, requests reads `text/…` as Latin-1.
            response.encoding = "utf-8"
        return response.text

    def download(self, url: str) -> bytes:
        """Return the bytes at an absolute URL (a template link); the key is not sent there."""
        response = self._send(self._plain, "GET", url, path=url.partition("?")[0])
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

    def upload(
        self, path: str, *, field: str, filename: str, content: bytes | IO[bytes], key: str = ""
    ) -> JSON:
        """POST one file as multipart form data, once; a file's content is read while it is sent."""
        file = BytesIO(content) if isinstance(content, bytes) else content
        body = MultipartFile(field=field, filename=filename, file=file)
        headers = {"Content-Type": body.content_type}
        if key:
            headers["Idempotency-Key"] = key
        response = self._call("POST", path, data=body, headers=headers)
        return read_json(response, method="POST", path=path)

    def _onwards(
        self, path: str, query: str, *, offset: int, limit: int, known: IdSet
    ) -> Iterator[list[Row]]:
        """Read on, page by page, where the answers do not tell how many rows there are."""
        while True:
            rows, _ = self._page(path, query, offset=offset, limit=limit)
            # An endpoint without paging answers the same rows whatever the offset.
            if not list(_new(list(rows), known)):
                return
            offset += len(rows)
            yield rows

    def _page(
        self, path: str, query: str, *, offset: int, limit: int
    ) -> tuple[list[Row], int | None]:
        paging = f"limit={limit}&offset={offset}"
        response = self._call("GET", f"{path}?{query}&{paging}" if query else f"{path}?{paging}")
        rows = read_json(response, method="GET", path=path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidResponse(method="GET", path=path, body=response.text)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
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
                    # The session repeats a GET whose answer does not begin; here one broke off.
                    if method != "GET":
                        raise
                    response = session.call(method, url, **kwargs)
            except requests.RequestException as exc:
                raise to_connection_error(exc, method=method, path=path) from exc
        require_success(response, method=method, path=path)
        return response


def client_for(
    config: Config | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    page_size: int = PAGE_SIZE,
    turnstile: Turnstile = always_open,
    observe: Observer | None = None,
) -> Client:
    """Return the shared client of a config; None means the config in force.

    The first call for an account makes its client, as the arguments say; later ones get that one.
    """
    config = config or Config.get_instance()
    account = config.api_url, config.api_key
    with _making:
        if account not in _clients:
            _clients[account] = Client(
                *account,
                timeout_seconds=timeout_seconds,
                page_size=page_size,
                turnstile=turnstile,
                observe=observe,
            )
        return _clients[account]


@contextmanager
def using_client(config: Config, client: Client) -> Iterator[Client]:
    """Have `client_for` give this client for the config's account inside the with-block."""
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


#: One client an account, with its pooled sessions, for the whole process.
_clients: Final[dict[tuple[str, str], Client]] = {}
_making: Final = threading.Lock()


def _new(rows: list[Row], seen: IdSet) -> Iterator[Row]:
    """Yield the rows that were not seen yet; without an id the content tells them apart.

    Takes them out of the list: a page is large, and need not be there while the next is read.
    """
    rows.reverse()
    while rows:
        row = rows.pop()
        name = str(row.get("id") or json_module.dumps(row, sort_keys=True))
        if seen.add(name):
            yield row
