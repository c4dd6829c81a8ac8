"""Connect's answers as JSON documents, new rows of a collection, messages, or exceptions."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from connect_worker.api.connections import Budget
from connect_worker.exceptions import (
    ApiError,
    BadRequest,
    ConnectionFailed,
    InvalidDocument,
    InvalidResponse,
    NotFound,
    RateLimited,
    api_error_class,
)
from connect_worker.observability.masking import mask_secrets

JSON = Any
Row = dict[str, JSON]

#: The longest pause that is accepted from a `Retry-After`, in seconds.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0

#: How many texts of an error are kept: proxies and gateways may answer anything.
MAX_ERRORS: Final = 20
#: How many items of each list or object in an error's params are kept, and how many levels.
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 20
#: How many characters of params are kept, names and values together; a number counts as one.
MAX_PARAM_CHARACTERS: Final = 64 * 1024
#: How many levels a row of a collection may have, if Python can't read the whole page.
MAX_LEVELS: Final = 100
_CUT: Final = "…"


def to_response(answer: Any, url: str) -> requests.Response:
    """Return an answer as a response of `requests`, whatever of one a test's double has."""
    if isinstance(answer, requests.Response):
        return answer
    response = requests.Response()
    status, headers = getattr(answer, "status_code", None), getattr(answer, "headers", None)
    is_success = bool(getattr(answer, "ok", True))
    response.status_code = status if isinstance(status, int) else 200 if is_success else 400
    response.headers.update(headers if isinstance(headers, Mapping) else {})
    response.url = url
    response.encoding = encoding_of(response.headers)
    response._content = _content_of(answer)
    return response


def _content_of(answer: Any) -> bytes:
    for name in ("content", "text"):
        body = getattr(answer, name, None)
        if body and isinstance(body, str | bytes):
            return body.encode() if isinstance(body, str) else body
    try:
        return json.dumps(answer.json()).encode()
    except (AttributeError, TypeError, ValueError):
        # It has no document, or another double in the place of one.
        return b""


def encoding_of(headers: Mapping[str, str]) -> str:
    """Return the encoding of a body: UTF-8, unless its headers name another one.

    `requests` reads `text/…` as Latin-1, looks for an encoding in the whole of other bodies, and
    accepts all that Python knows, some of which take much time.
    """
    charset = _CHARSET.search(headers.get("Content-Type", ""))
    name = charset[1].lower() if charset else ""
    return name if name in _CHARSETS else "utf-8"


_CHARSET = re.compile(r"charset=[\"']?([\w-]{1,20})", re.IGNORECASE | re.ASCII)
_CHARSETS = frozenset(("us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16", "utf-32"))


# ---- documents and rows


def read_json(response: requests.Response, *, method: str, path: str) -> JSON:
    """Return the document of a success; None when it has no body."""
    if not response.content:
        return None
    try:
        return _load(response)
    except RecursionError as exc:
        if method == "GET":
            raise InvalidDocument(path, {"": "it has too many levels to be read"}) from exc
        raise InvalidResponse(method=method, path=path, body=response.text) from exc
    except ValueError as exc:
        raise InvalidResponse(method=method, path=path, body=response.text) from exc


def read_rows(response: requests.Response, *, method: str, path: str) -> list[Row]:
    """Return the rows of a page; a row that can't be read costs no other row.

    In place of levels beyond `MAX_LEVELS` a row has "…". A row that is no object comes as an empty
    one: it has no id either.
    """
    try:
        try:
            rows = _load(response)
        except RecursionError:
            rows = json.loads(cut_levels(response.text), parse_int=_whole)
    except ValueError as exc:
        raise InvalidResponse(method=method, path=path, body=response.text) from exc
    is_page = isinstance(rows, list)
    if not is_page or (rows and not any(isinstance(row, dict) for row in rows)):
        raise InvalidResponse(method=method, path=path, body=response.text)
    return [row if isinstance(row, dict) else {} for row in rows]


def _load(response: requests.Response) -> JSON:
    """Read JSON; a number with more digits than Python reads stays a text of digits."""
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise
    except ValueError:
        return response.json(parse_int=_whole)


def _whole(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits


#: A text of JSON, or a bracket outside of texts.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def cut_levels(text: str) -> str:
    """Return a JSON text with "…" in place of all levels beyond `MAX_LEVELS`, in one pass."""
    parts, level, end = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            level += 1
            if level == MAX_LEVELS + 1:
                parts.append(text[end : token.start()])
        elif token[0] in "]}":
            level -= 1
            if level == MAX_LEVELS:
                parts.append(f'"{_CUT}"')
                end = token.end()
    return "".join((*parts, text[end:]))


# ---- rows that come twice, since a collection changes between two pages

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


def _added(members: set[Member], member: Member) -> bool:
    before = len(members)
    members.add(member)
    return len(members) > before


def new_rows(rows: list[Row], seen: IdSet) -> Iterator[Row]:
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
        return json.dumps(row, sort_keys=True)
    except RecursionError:
        return "of too many levels"


# ---- conversations

#: What may stand in the path of a call.
_CONVERSATION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: A time in UTC, without a zone.
_SECOND: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)


class Reader(Protocol):
    """What reads from Connect: the client, or the engine's port."""

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Return the JSON document at the path."""

    def get_all(self, path: str, query: str | Mapping[str, object] | None = None) -> Iterable[JSON]:
        """Return every row of a collection, all pages."""


def conversations_in(rows: JSON) -> list[Row]:
    """Return the rows of a request's conversations, open ones first.

    Connect lists notes, which the customer does not see, with them. In 2019 a conversation had
    neither a type nor a status.

    Examples:
        >>> notes, talk = {"id": "CO-1", "type": "notes"}, {"id": "CO-2", "type": "conversation"}
        >>> conversations_in([notes, talk | {"status": "closed"}, {"id": "CO-3"}])
        [{'id': 'CO-3'}, {'id': 'CO-2', 'type': 'conversation', 'status': 'closed'}]
    """
    found = [
        row
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict)
        and str(row.get("type") or "conversation").lower() == "conversation"
        and isinstance(row.get("id"), str)
        and _CONVERSATION_ID.fullmatch(row["id"])
    ]
    return sorted(found, key=is_open, reverse=True)


def is_open(conversation: Row) -> bool:
    """Whether a conversation accepts messages."""
    return str(conversation.get("status") or "open").lower() == "open"


def messages_of(connect: Reader, conversation_id: str, *, since: str = "") -> Iterator[Row]:
    """Yield the messages of a conversation since a time in UTC, as far as Connect can filter.

    In 2019 a conversation had its messages inside, and they were no collection.
    """
    path = f"conversations/{conversation_id}"
    filters = [f"ge(created,{since}Z)"] if _SECOND.fullmatch(since) else []
    for query in (*filters, None):
        try:
            yield from connect.get_all(f"{path}/messages", query)
        except NotFound:
            break
        except BadRequest:
            continue
        else:
            return
    document = connect.get(path)
    messages = document.get("messages") if isinstance(document, dict) else None
    yield from (row for row in messages or () if isinstance(row, dict))


# ---- errors


def require_success(response: requests.Response, *, method: str, path: str) -> None:
    """Return if the answer is a 2xx; a redirection that was not followed is an error."""
    if not 200 <= response.status_code < 300:
        raise to_error(response, method=method, path=path)


def to_error(response: requests.Response, *, method: str, path: str) -> ApiError:
    """Return the exception for a refused call; a body without JSON becomes its only error text."""
    body = _body(response)
    params = body.get("params")
    facts: dict[str, Any] = {
        "status": response.status_code,
        "error_code": str(body.get("error_code") or ""),
        "errors": _first(_sentences(body), MAX_ERRORS),
        "params": _Params().masked(params) if isinstance(params, dict) else {},
        "method": method,
        "path": path,
    }
    error_class = api_error_class(response.status_code)
    if error_class is RateLimited:
        return RateLimited(**facts, retry_after_seconds=_retry_after(response))
    return error_class(**facts)


def to_connection_error(
    exc: requests.RequestException, *, method: str, path: str, budget: Budget
) -> ConnectionFailed:
    """Return the exception for a call without an answer, and whether Connect may have got it."""
    reason = _reason(exc)
    if budget.is_over():
        reason = f"not within {budget.seconds:g} s, see CONNECT_TIMEOUT_SECONDS: {reason}"
    return ConnectionFailed(
        f"{method} {path}: no answer from Connect ({reason})", sent=not _was_never_sent(exc)
    )


def _reason(exc: requests.RequestException) -> str:
    """Name the error, and what is wrong with an answer that is no HTTP."""
    found: object = exc
    while isinstance(found, Exception) and not isinstance(found, HTTPException):
        found = getattr(found, "reason", None) or next(reversed(found.args), None)
    if not isinstance(found, HTTPException):
        return type(exc).__name__
    # It may quote what came instead of an answer.
    return f"{type(exc).__name__}: {type(found).__name__}: {mask_secrets(str(found))[:100]!r}"


def _was_never_sent(exc: requests.RequestException) -> bool:
    """Whether the call can't have reached Connect: no connection, or no usable address."""
    if isinstance(exc, (requests.ConnectTimeout, ValueError)):
        return True
    reason = getattr(exc.args[0], "reason", None) if exc.args else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {"errors": [mask_secrets(response.text)[:500]] if response.text else []}
    return body if isinstance(body, dict) else {"errors": [mask_secrets(_text(body))[:500]]}


def _sentences(body: dict[str, Any]) -> Iterator[JSON]:
    """Yield the error texts of a body of any shape."""
    errors = body.get("errors")
    if isinstance(errors, list):
        yield from errors
    elif errors:
        yield errors
    elif body and not body.get("error_code"):
        # Not Connect's error document, but `{"detail": "Not found."}` and the like.
        yield mask_secrets(_text(body.get("detail") or body))[:500]


def _first(values: Iterator[JSON], most: int) -> list[str]:
    first = [_text(value) for value in islice(values, most)]
    more = sum(1 for _ in values)
    return [*first, f"{_CUT} ({more} more)"] if more else first


def _text(value: JSON) -> str:
    try:
        return str(value)
    except RecursionError:
        return _CUT


class _Params:
    """Copies the params of an error: masked, and only as much as a person reads."""

    def __init__(self) -> None:
        self._left = MAX_PARAM_CHARACTERS

    def masked(self, value: JSON, depth: int = 0) -> JSON:
        is_enough = self._left <= 0
        self._left -= len(value) + 1 if isinstance(value, str) else 1
        match value:
            case str() | list() | dict() if is_enough:
                return _CUT
            case str():
                return mask_secrets(value)
            case list() | dict() if depth == MAX_DEPTH:
                return _CUT
            case list():
                return [self.masked(item, depth + 1) for item in value[:MAX_ITEMS]]
            case dict():
                items = islice(value.items(), MAX_ITEMS)
                return {self.masked(name): self.masked(item, depth + 1) for name, item in items}
            case _:
                return value


def _retry_after(response: requests.Response) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            # A date with the zone "-0000" is in UTC, and is parsed without a zone.
            ahead = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
        except (ValueError, OverflowError):
            return None
        seconds = ahead.total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)
