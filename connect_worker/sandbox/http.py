"""A call as an endpoint sees it, and the answer it gives: no sockets, no framework."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.state import World

Json = dict[str, Any]


@dataclass(frozen=True)
class Upload:
    """One file of a multipart body."""

    filename: str
    content: bytes


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    world: World
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
    #: the caller showed the provider's key
    by_provider: bool

    def document(self) -> Json:
        """The JSON object of the body; an empty body and ``null`` count as ``{}``.

        Raises:
            BadRequestError: the body is no JSON object.
        """
        if not self.body.strip():
            return {}
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise BadRequestError(f"The body is no JSON: {error}.") from error
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise BadRequestError("The body must be a JSON object.")
        return document


@dataclass(frozen=True)
class Reply:
    """One HTTP answer; ``content`` is JSON unless it is bytes or None (no body)."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


Endpoint = Callable[[Call], Reply]


@dataclass(frozen=True)
class Route:
    """Where an endpoint is found.

    ``{id}`` in the path stands for one part of it; a trailing slash makes no difference.
    """

    method: str
    path: str
    endpoint: Endpoint
    #: the name of the path part that names a request of one of the four kinds
    about: str | None = None
