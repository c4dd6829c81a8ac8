"""One account's connection to Connect."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from time import perf_counter
from typing import IO, Any, Final, Self
from urllib.parse import urljoin

import requests
from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from connect_worker.api.connections import (
    AnswerRefusedError,
    Budget,
    Guard,
    has_too_many_values,
)
from connect_worker.api.responses import (
    IdSet,
    Row,
    new_rows,
    read_json,
    read_rows,
    require_success,
    to_connection_error,
    to_error,
)
from connect_worker.api.transport import BeforeCall, SessionPool, no_limit
from connect_worker.config import Config
from connect_worker.exceptions import ApiError, ConnectionFailed, InvalidDocument, InvalidResponse
from connect_worker.logger import LogEvent, logger
from connect_worker.rql import Filters, to_query, without_paging
from connect_worker.settings.model import DEFAULTS, Settings

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


JSON = Any

#: Called after a call, with its method, the error ("" for none) and the seconds it took.
Observer = Callable[[str, str, float], None]

#: `items 0-99/250`; `items */0` of an empty collection.
_CONTENT_RANGE = re.compile(r"items\s+(?:\d+-\d+|\*)/(\d+)")
#: No collection has more rows than such a number says; Python refuses to read thousands of digits.
_MAX_COUNT_DIGITS: Final = 12

#: Connect's pages have no more rows than this.
LARGEST_PAGE = 1000

#: A page of a list, and the upload or download of a file, may take so many times as long as another
#: call.
LONG_CALLS: Final = 10

#: A collection is not paged as it says after so many pages in a row without a new row.
MAX_USELESS_PAGES: Final = 10

#: A GET follows so many redirections.
MAX_REDIRECTIONS: Final = 5

#: The last part of a path that names an action or a collection, and no object.
_ACTION: Final = re.compile(r"[a-z-]+")


class Client:
    """Connect's REST API as JSON documents.

    Paths are relative to the API URL (`requests/PR-…`). A GET is repeated after a connection error
    or a 5xx. Every other call takes effect once; the caller decides whether to repeat it. The key
    never appears in an exception or a log.

    Connect's paths have no slash at the end. Some deployments want one, as Connect did in 2019: an
    action that is not found is sent to the other path, and the client remembers which was right.

    Args:
        url: The API of the account.
        key: The key of the service user.
        timeout_seconds: How long one call may take, with its repetitions and redirections, until
            the last byte of the answer; `LONG_CALLS` as long for a page of a list, and for the
            upload or download of a file.
        page_size: Rows per page of a collection.
        max_answer_bytes: The largest answer, before and after decompression.
        max_list_rows: The longest collection that `get_all` reads.
        allow_private_hosts: Whether links and redirections may lead to private addresses.
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
        timeout_seconds: float = DEFAULTS.timeout_seconds,
        page_size: int = DEFAULTS.page_size,
        max_answer_bytes: int = DEFAULTS.max_answer_bytes,
        max_list_rows: int = DEFAULTS.max_list_rows,
        allow_private_hosts: bool = DEFAULTS.allow_private_hosts,
        before_call: BeforeCall = no_limit,
        observe: Observer | None = None,
        pool: SessionPool | None = None,
    ) -> None:
        self._observe = observe
        self.url = url.rstrip("/")
        self.page_size = page_size
        self._timeout_seconds = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        self._max_list_rows = max_list_rows
        #: How paths end on this deployment, by their last part, where that was not as described.
        self._endings: dict[str, str] = {}
        self._guard = Guard(self.url, allows_private=allow_private_hosts)
        self._pool = pool or SessionPool(key, url=self.url, before_call=before_call)
        # Downloads are not calls to Connect: they have no key and no rate limit.
        self._plain = pool or SessionPool(guard=self._guard)

    @classmethod
    def of(
        cls,
        config: Config,
        settings: Settings,
        *,
        before_call: BeforeCall = no_limit,
        observe: Observer | None = None,
    ) -> Self:
        """Return a client of an account, with the limits of the settings."""
        return cls(
            config.api_url,
            config.api_key,
            timeout_seconds=settings.timeout_seconds,
            page_size=settings.page_size,
            max_answer_bytes=settings.max_answer_bytes,
            max_list_rows=settings.max_list_rows,
            allow_private_hosts=settings.allow_private_hosts,
            before_call=before_call,
            observe=observe,
        )

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
        text, asked, _ = without_paging(to_query(query))
        size = min(asked or self.page_size, LARGEST_PAGE)
        for count, row in enumerate(self._rows(path, text, size)):
            if count == self._max_list_rows:
                raise self._list_too_long(path)
            yield row

    def get_list(self, path: str, query: Filters = None) -> Iterator[Row]:
        """Yield the rows that the query's `limit` and `offset` ask for; without them, every row.

        So a caller may read a collection page by page, as with the SDK.
        """
        text, limit, offset = without_paging(to_query(query))
        if limit is None and offset is None:
            yield from self.get_all(path, text)
            return
        at, left = offset or 0, limit or self._max_list_rows
        while left:
            size = min(left, limit or self.page_size, LARGEST_PAGE)
            rows, total = self._page(path, text, offset=at, limit=size)
            at, left = at + len(rows), max(0, left - len(rows))
            yield from rows[:size]
            if not rows or (total is not None and at >= total):
                return
        if limit is None:
            raise self._list_too_long(path)

    def _list_too_long(self, path: str) -> InvalidResponse:
        problem = f"the list has more than {self._max_list_rows} rows (CONNECT_MAX_LIST_ROWS)"
        return InvalidResponse(method="GET", path=path, problem=problem)

    def _rows(self, path: str, query: str, size: int) -> Iterator[Row]:
        rows, total = self._page(path, query, offset=0, limit=size)
        seen = IdSet()
        first = len(rows)
        step = first or size
        yield from new_rows(rows, seen)
        if total is None and first:
            total = yield from self._rows_without_total(path, query, step=step, seen=seen)
            first = 0
        if not total or total <= first:
            return
        useless = 0
        offset = (total - 1) // step * step
        while offset >= 0 and useless < MAX_USELESS_PAGES:
            rows, total = self._page(path, query, offset=offset, limit=step)
            if not rows and total is not None and total <= offset:
                # So many rows have left that this page is gone.
                offset = min(offset, (total - 1) // step * step + step)
            offset -= step
            useless += 1
            for row in new_rows(rows, seen):
                useless = 0
                yield row
        if offset >= 0:
            # Nothing new in the pages that the count promises: it is wrong, or the offset ignored.
            logger.warning(LogEvent("list.count_rejected", path=path, count=total))
            yield from self._rows_without_total(path, query, step=step, seen=seen)

    def get_text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """Return the text at the path (a rendered template)."""
        return self._call("GET", path, params=params, headers={"Accept": "*/*"}).text

    def download(self, url: str) -> bytes:
        """Return the bytes at an absolute URL (a template link); the key is not sent there.

        The URL may lead to Connect's own host or to a public one.
        """
        path = str(url).partition("?")[0][:200]
        seconds = self._timeout_seconds * LONG_CALLS
        return self._send(self._plain, "GET", url, path=path, seconds=seconds).content

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

    def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: JSON = None
    ) -> tuple[str, int]:
        """Send one call; return the text and the status of its answer, which is a success."""
        response = self._call(method, path, params=params, json=json)
        return response.content.decode(errors="replace"), response.status_code

    def upload(
        self, path: str, *, field: str, filename: str, content: bytes | IO[bytes], key: str = ""
    ) -> JSON:
        """POST one file as multipart form data, once; a file is read while it is sent."""
        file = BytesIO(content) if isinstance(content, bytes) else content
        body = MultipartFile(field=field, filename=filename, file=file)
        headers = {"Content-Type": body.content_type}
        if key:
            headers["Idempotency-Key"] = key
        seconds = self._timeout_seconds * LONG_CALLS
        response = self._call("POST", path, data=body, headers=headers, seconds=seconds)
        return read_json(response, method="POST", path=path)

    def _rows_without_total(
        self, path: str, query: str, *, step: int, seen: IdSet
    ) -> Generator[Row, None, int]:
        """Yield the new rows of the pages after the first, if the answers give no usable count.

        Return the offset of the first page without a new row. An endpoint without paging returns
        the same rows for any offset.
        """
        offset = step
        while True:
            rows, _ = self._page(path, query, offset=offset, limit=step)
            count, has_new = len(rows), False
            for row in new_rows(rows, seen):
                has_new = True
                yield row
            if not has_new:
                return offset
            offset += count

    def _page(
        self, path: str, query: str, *, offset: int, limit: int
    ) -> tuple[list[Row], int | None]:
        paging = f"limit={limit}&offset={offset}"
        address = f"{path}?{query}&{paging}" if query else f"{path}?{paging}"
        response = self._call("GET", address, seconds=self._timeout_seconds * LONG_CALLS)
        rows = read_rows(response, method="GET", path=path)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match and len(match[1]) > _MAX_COUNT_DIGITS:
            raise InvalidResponse(method="GET", path=path, body=match[0])
        if match is None and response.raw is None:
            # A double in a vendor's test answered: its rows are all that there are, as to the SDK.
            return rows, offset + len(rows)
        return rows, int(match[1]) if match else None

    def _call(
        self, method: str, path: str, *, seconds: float | None = None, **kwargs: Any
    ) -> requests.Response:
        url, name = f"{self.url}/{path}", path.partition("?")[0]
        seconds = seconds or self._timeout_seconds
        if self._observe is None:
            return self._send(self._pool, method, url, path=name, seconds=seconds, **kwargs)
        began = perf_counter()
        try:
            response = self._send(self._pool, method, url, path=name, seconds=seconds, **kwargs)
        except ApiError as error:
            self._observe(method, str(error.status), perf_counter() - began)
            raise
        except (ConnectionFailed, InvalidResponse):
            self._observe(method, "no answer", perf_counter() - began)
            raise
        self._observe(method, "", perf_counter() - began)
        return response

    def _send(
        self,
        pool: SessionPool,
        method: str,
        url: str,
        *,
        path: str,
        seconds: float,
        **kwargs: Any,
    ) -> requests.Response:
        """Send a call and return its success; `path` names it in errors."""
        budget = Budget(seconds=seconds, max_bytes=self._max_answer_bytes)
        try:
            if pool is self._plain and pool is not self._pool:
                self._guard.require_allowed(url)
            response = self._ask(pool, method, url, budget=budget, **kwargs)
            if response.status_code >= 300 and method == "GET" and response.is_redirect:
                response = self._follow(pool, response, budget=budget, **kwargs)
            if pool is self._pool and has_too_many_values(response.content, budget.max_bytes):
                if response.ok:
                    raise AnswerRefusedError(
                        "the answer has too many values for CONNECT_MAX_ANSWER_MEGABYTES"
                    )
                # Its status says more than what can't be read.
                response._content = response.content[:2000]
        except requests.exceptions.InvalidJSONError as exc:
            # Nothing was sent: the document is the caller's, and has a NaN or the like.
            raise InvalidDocument(f"{method} {path}", {"": f"no JSON: {exc}"}) from exc
        except requests.RequestException as exc:
            raise to_connection_error(exc, method=method, path=path, budget=budget) from exc
        except AnswerRefusedError as exc:
            raise InvalidResponse(method=method, path=path, problem=str(exc)) from exc
        require_success(response, method=method, path=path)
        return response

    def _ask(self, pool: SessionPool, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send a call to its path, with a slash at the end where this deployment wants one."""
        action = url.rpartition("/")[2]
        if not _ACTION.fullmatch(action):
            return self._exchange(pool, method, url, **kwargs)
        ending = self._endings.get(action, "")
        other = "" if ending else "/"
        response = self._exchange(pool, method, url + ending, **kwargs)
        if not _has_no_such_path(response, other=url + other):
            return response
        again = self._exchange(pool, method, url + other, **kwargs)
        if again.status_code == 404 or again.is_redirect:
            return response
        if again.ok:
            self._endings[action] = other
            event = "connect.slash_needed" if other else "connect.slash_refused"
            logger.warning(LogEvent(event, method=method, action=action))
        return again

    def _exchange(
        self, pool: SessionPool, method: str, url: str, **kwargs: Any
    ) -> requests.Response:
        with pool.session() as session:
            try:
                return session.call(method, url, **kwargs)
            except requests.exceptions.ChunkedEncodingError:
                # The session repeats a GET without an answer; this answer is incomplete.
                if method != "GET":
                    raise
                return session.call(method, url, **kwargs)

    def _follow(
        self,
        pool: SessionPool,
        response: requests.Response,
        *,
        params: Mapping[str, str] | None = None,  # noqa: ARG002 - they are in the new address
        **kwargs: Any,
    ) -> requests.Response:
        """Follow a redirection; what has led away from Connect once never gets the key again."""
        for _ in range(MAX_REDIRECTIONS):
            url = self._guard.require_allowed(_target(response))
            if not self._guard.is_own_url(url):
                pool = self._plain
            response = self._exchange(pool, "GET", url, **kwargs)
            if not response.is_redirect:
                return response
        raise AnswerRefusedError(f"the call is redirected more than {MAX_REDIRECTIONS} times")


def _has_no_such_path(response: requests.Response, *, other: str) -> bool:
    """Whether Connect has no such path, so that the call had no effect, and may have the other."""
    if response.status_code == 404:
        # A proxy's page has no code.
        return bool(to_error(response, method="", path="").error_code)
    return response.status_code in (301, 308) and _target(response) == other


def _target(response: requests.Response) -> str:
    """Return where a redirection leads to; "" if that can't be read."""
    try:
        # Headers are read as Latin-1, and sent as UTF-8.
        location = response.headers["Location"].encode("latin-1").decode()
        return urljoin(response.url, location)
    except ValueError:
        return ""


def client_for(
    config: Config | None = None,
    settings: Settings | None = None,
    *,
    before_call: BeforeCall = no_limit,
    observe: Observer | None = None,
) -> Client:
    """Return the shared client of a config; None means the current config.

    The first call for an account makes its client with these arguments; later calls return it. The
    settings are those of the environment, unless they are given.

    Raises:
        SettingsError: A setting of calls is malformed in the environment.
    """
    config = config or Config.get_instance()
    account = config.api_url, config.api_key
    with _making:
        if account not in _clients:
            _clients[account] = Client.of(
                config, settings or Settings.of_calls(), before_call=before_call, observe=observe
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
