"""Connect's answers as JSON documents or exceptions."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from connect_worker.exceptions import (
    ApiError,
    ConnectionFailed,
    InvalidResponse,
    RateLimited,
    api_error_class,
)

JSON = Any


def read_json(response: requests.Response, *, method: str, path: str) -> JSON:
    """Return the document of a 2xx answer (None when it has no body); raise what others mean."""
    if not response.ok:
        raise to_error(response, method=method, path=path)
    if not response.content:
        return None
    try:
        return response.json()
    except requests.JSONDecodeError as exc:
        raise InvalidResponse(method=method, path=path, body=response.text) from exc


def to_error(response: requests.Response, *, method: str, path: str) -> ApiError:
    """Return the exception for a refused call; a body that is not JSON becomes its one error."""
    body = _body(response)
    facts: dict[str, Any] = {
        "status": response.status_code,
        "error_code": str(body.get("error_code") or ""),
        "errors": [str(error) for error in body.get("errors") or ()],
        "params": body.get("params") or {},
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
    never_sent = isinstance(exc, requests.ConnectTimeout) or "NewConnectionError" in repr(exc)
    reason = type(exc).__name__
    return ConnectionFailed(
        f"{method} {path}: no answer from Connect ({reason})", sent=not never_sent
    )


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {"errors": [response.text[:500]] if response.text else []}
    return body if isinstance(body, dict) else {"errors": [str(body)[:500]]}


def _retry_after(response: requests.Response) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
