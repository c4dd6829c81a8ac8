"""HTTP as the sandbox's endpoints see it, without sockets: requests, responses, errors and routes.

An endpoint that refuses a request raises one of these errors:

ApiError                 an HTTP status and an error body as Connect sends it
├── BadRequestError      400, the client must change the request
├── UnauthorizedError    401, no valid key
├── ForbiddenError       403, a valid key without the right
└── NotFoundError        404, no such path or object
"""

import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]


class ApiError(Exception):
    """An error response: its status and its body."""

    def __init__(self, status: int, code: str, *messages: str, params: Json | None = None) -> None:
        super().__init__(status, code, *messages)
        self.status = status
        self.code = code
        self.messages = list(messages)
        self.params = params or {}

    def body(self) -> Json:
        """The JSON document: ``error_code``, ``errors`` and ``params``."""
        return {"error_code": self.code, "errors": self.messages, "params": self.params}


class BadRequestError(ApiError):
    """400: the request is not valid."""

    def __init__(self, *messages: str, code: str = "VAL_001", params: Json | None = None) -> None:
        super().__init__(400, code, *messages, params=params)


class UnauthorizedError(ApiError):
    """401: the ``Authorization`` header has no key that the sandbox knows."""

    def __init__(self) -> None:
        super().__init__(401, "AUTH_001", "API request is unauthorized.")


class ForbiddenError(ApiError):
    """403: the key is known, and belongs to the other side of the marketplace."""

    def __init__(self, message: str) -> None:
        super().__init__(403, "AUTH_002", message)


class NotFoundError(ApiError):
    """404: no such path or object."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "NF_001", f"Object not found: {what}.")


@dataclass(frozen=True)
class Upload:
    """One file of a multipart body."""

    filename: str
    content: bytes


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    #: the named parts of the path
    args: Mapping[str, str]
    #: the raw query string
    query: str
    parameters: Mapping[str, str]
    body: bytes
    files: Mapping[str, Upload]
    idempotency_key: str | None
    #: scheme, host and port as the client sees them
    base_url: str
    #: the client sent the provider's key
    by_provider: bool

    def document(self) -> Json:
        """The JSON object of the body; an empty body and ``null`` count as ``{}``.

        Raises:
            BadRequestError: The body is not a JSON object.
        """
        if not self.body.strip():
            return {}
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise BadRequestError(f"The body is not JSON: {error}.") from error
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise BadRequestError("The body must be a JSON object.")
        return document


@dataclass(frozen=True)
class Response:
    """One HTTP response; ``content`` is JSON unless it is bytes or None (no body)."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    #: returns the content once a webhook has answered; only the server waits for it
    later: Callable[[], Awaitable[Json]] | None = None


#: Takes the sandbox's state and a request.
Endpoint = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    """The method and the path of an endpoint.

    ``{id}`` in the path stands for one part of it.
    """

    method: str
    path: str
    endpoint: Endpoint
    #: the name of the path part that names a request of one of the four kinds
    about: str | None = None


API = "/public/v1/"
VENDOR = "/vendor/"
CONTROL = "/sandbox/"


@dataclass(frozen=True)
class Match:
    """The route of a request, and the values of the parts of its path."""

    #: API, VENDOR or CONTROL
    prefix: str
    route: Route
    args: Mapping[str, str]

    @property
    def label(self) -> str:
        """``GET requests/{id}``: how the report names the route."""
        head = self.prefix if self.prefix != API else ""
        return f"{self.route.method} {head}{self.route.path}"

    @property
    def request_id(self) -> str | None:
        """The request that the path names, if it names one."""
        return self.args.get(self.route.about) if self.route.about else None


class Router:
    """All routes by the number of their parts.

    Args:
        routes: By the prefix of their paths.
    """

    def __init__(self, routes: Mapping[str, Sequence[Route]]) -> None:
        self._compiled: dict[int, list[tuple[re.Pattern[str], str, Route]]] = defaultdict(list)
        for prefix, under_prefix in routes.items():
            for route in under_prefix:
                full = prefix + route.path
                pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(full))
                self._compiled[full.count("/")].append((re.compile(pattern), prefix, route))

    def match(self, method: str, path: str) -> Match:
        """The route for a path, with or without a trailing slash.

        Raises:
            NotFoundError: No route has this path.
            ApiError: 405: the path takes other methods.
        """
        path = path.rstrip("/")
        allowed = []
        for pattern, prefix, route in self._compiled[path.count("/")]:
            parts = pattern.fullmatch(path)
            if parts and route.method == method:
                args = {name: unquote(value) for name, value in parts.groupdict().items()}
                return Match(prefix, route, args)
            if parts:
                allowed.append(route.method)
        if allowed:
            raise ApiError(405, "HTTP_405", f"{path} takes {', '.join(allowed)}, not {method}.")
        raise NotFoundError(path)
