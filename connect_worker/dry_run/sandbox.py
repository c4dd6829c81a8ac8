"""A transport that answers from a sandbox in the same process: no socket, no account."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from connect_worker.domain.states import RequestKind
from connect_worker.dry_run.transport import Request, Response
from connect_worker.sandbox import http
from connect_worker.sandbox.api import dispatch, error_response, router
from connect_worker.sandbox.fulfillment import Conversation
from connect_worker.sandbox.http import API, ApiError
from connect_worker.sandbox.memory import Options, SandboxState, Spread
from connect_worker.sandbox.seeding import build_state

URL = "https://connect.test/public/v1"
#: When the products, templates and conversations of this sandbox were created.
CREATED = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
PRODUCTS = 3


def empty_state() -> SandboxState:
    """Return an account with products and templates, and without a single request."""
    return build_state(
        Options(Spread(0, 0, 0, 0), product_count=PRODUCTS),
        clock=lambda: CREATED,
        call_later=lambda seconds, function: None,  # noqa: ARG005 - this sandbox does nothing later
        post=lambda url, headers, body, on_status: None,  # noqa: ARG005 - no webhooks
        reset=lambda: None,
    )


class SandboxTransport:
    """Answers reads as a sandbox does that has only the request of the dry run.

    It has products and templates, and the conversation of a fulfillment request. All other
    collections are empty.

    Args:
        kind: The kind of the request.
        request_id: Its id.
    """

    def __init__(self, kind: RequestKind, request_id: str) -> None:
        self._state = empty_state()
        self._request_id = request_id
        if kind is RequestKind.FULFILLMENT:
            self._state.conversations.add(Conversation(1, request_id, CREATED))

    def __call__(self, sent: Request) -> Response:
        """Return the sandbox's answer."""
        rendered = self._rendered(sent)
        if rendered is not None:
            return rendered
        path = f"{API}{sent.path}"
        try:
            match = router.match(sent.method, path)
        except ApiError as refusal:
            reply = error_response(refusal)
        else:
            reply = dispatch(match, self._state, self._request(sent, path, match.args))
        content = reply.content
        if content is None:
            return Response(reply.status)
        headers = {"Content-Type": reply.content_type, **reply.headers}
        is_bytes = isinstance(content, bytes)
        return Response(
            reply.status, content if is_bytes else json.dumps(content).encode(), headers
        )

    def _rendered(self, sent: Request) -> Response | None:
        """Render a template for the request, which is not in the sandbox itself."""
        collection, _, rest = sent.place.partition("/")
        name, _, action = rest.partition("/")
        template = self._state.catalog.templates.get(name)
        if (collection, action) != ("templates", "render") or template is None:
            return None
        return Response.of_text(template.render(self._request_id))

    def _request(self, sent: Request, path: str, args: Any) -> http.Request:
        return http.Request(
            method=sent.method,
            path=path,
            args=args,
            query=sent.query,
            parameters=dict(parse_qsl(sent.query)),
            body=b"",
            files={},
            idempotency_key=sent.key or None,
            base_url=URL.removesuffix(API.rstrip("/")),
            by_provider=False,
        )
