"""Connect's answers as JSON documents or exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from connect_worker.exceptions import (
    ApiError,
    ConnectionFailed,
    InvalidResponse,
    RateLimited,
    api_error_class,
)
from connect_worker.observability.masking import mask_secrets

JSON = Any

#: The longest pause that is taken over from a `Retry-After`, in seconds.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0


def read_json(response: requests.Response, *, method: str, path: str) -> JSON:
    """Return the document of a 2xx answer (None when it has no body); raise what others mean."""
    require_success(response, method=method, path=path)
    if not response.content:
        return None
    try:
        return response.json()
    except requests.JSONDecodeError as exc:
        raise InvalidResponse(method=method, path=path, body=response.text) from exc


def require_success(response: requests.Response, *, method: str, path: str) -> None:
    """Return only when the answer is a 2xx; a redirection that was not followed is none."""
    if not 200 <= response.status_code < 300:
        raise to_error(response, method=method, path=path)


def to_error(response: requests.Response, *, method: str, path: str) -> ApiError:
    """Return the exception for a refused call; a body that is not JSON becomes its one error."""
    body = _body(response)
    params = body.get("params")
    facts: dict[str, Any] = {
        "status": response.status_code,
        "error_code": str(body.get("error_code") or ""),
        "errors": list(_sentences(body)),
        "params": _masked(params) if isinstance(params, dict) else {},
        "method": method,
        "path": path,
    }
    error_class = api_error_class(response.status_code)
    if error_class is RateLimited:
        return RateLimited(**facts, retry_after_seconds=_retry_after(response))
    return error_class(**facts)


def to_connection_error(
    exc: requests.RequestException, *, method: str, path: str
) -> ConnectionFailed:
    """Return the exception for a call without an answer: did Connect perhaps act on it?"""
    reason = type(exc).__name__
    return ConnectionFailed(
        f"{method} {path}: no answer from Connect ({reason})", sent=not _was_never_sent(exc)
    )


def _was_never_sent(exc: requests.RequestException) -> bool:
    """Whether there was no connection to send anything over (or no usable address)."""
    if isinstance(exc, (requests.ConnectTimeout, ValueError)):
        return True
    reason = getattr(exc.args[0], "reason", None) if exc.args else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {"errors": [mask_secrets(response.text)[:500]] if response.text else []}
    return body if isinstance(body, dict) else {"errors": [mask_secrets(str(body))[:500]]}


def _sentences(body: dict[str, Any]) -> Iterator[str]:
    """Give what the body says is wrong, whatever shape it has."""
    errors = body.get("errors")
    if isinstance(errors, list):
        yield from (str(error) for error in errors)
    elif errors:
        yield str(errors)
    elif body and not body.get("error_code"):
        # No error document of Connect's: `{"detail": "Not found."}` and the like.
        yield mask_secrets(str(body.get("detail") or body))[:500]


def _masked(value: JSON) -> JSON:
    match value:
        case str():
            return mask_secrets(value)
        case list():
            return [_masked(item) for item in value]
        case dict():
            return {name: _masked(item) for name, item in value.items()}
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
        except ValueError:
            return None
        # A date whose zone is "-0000" is one of UTC, and comes without a zone.
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)
