"""Sends the sandbox's notifications over HTTP, without waiting for the answers."""

import asyncio
from collections.abc import Callable
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

#: How long the receiver of a notification may take for its answer.
TIMEOUT_SECONDS = 10.0
#: Calls at the same time; the others wait for their turn.
AT_ONCE = 50


class Sender:
    """Posts bodies; must be used inside a running event loop."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()
        self._client: AsyncHTTPClient | None = None

    def post(
        self, url: str, headers: dict[str, Any], body: bytes, told: Callable[[int], None]
    ) -> None:
        """Post, and tell the status; 0: no answer."""
        task = asyncio.get_running_loop().create_task(self._post(url, headers, body, told))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _post(
        self, url: str, headers: dict[str, Any], body: bytes, told: Callable[[int], None]
    ) -> None:
        if self._client is None:
            self._client = AsyncHTTPClient(force_instance=True, max_clients=AT_ONCE)
        texts = {name: str(value) for name, value in headers.items()}
        try:
            request = HTTPRequest(
                url,
                method="POST",
                headers=texts,
                body=body,
                request_timeout=TIMEOUT_SECONDS,
                connect_timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
            )
            response = await self._client.fetch(request, raise_error=False)
            status = response.code
        except (OSError, ValueError, HTTPClientError):
            status = 0
        # Tornado's own word for a connection that failed or took too long.
        told(0 if status == 599 else status)
