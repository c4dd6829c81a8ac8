"""The account itself as the one who answers."""

from __future__ import annotations

from connect_worker.api.client import TIMEOUT_SECONDS
from connect_worker.api.session import CONNECT_TIMEOUT_SECONDS, SessionPool
from connect_worker.config import Config
from connect_worker.trial.wire import Answer, Sent


class Account:
    """Reads from an account over the network; it refuses to carry anything that changes.

    Args:
        config: Whose API, and the key.
        timeout_seconds: How long one call may wait for the answer.
    """

    def __init__(self, config: Config, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = config.api_url.rstrip("/")
        self._timeout = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._pool = SessionPool(config.api_key, url=self._url)
        # The key is for Connect alone, not for where a download lies.
        self._plain = SessionPool()

    def __call__(self, sent: Sent) -> Answer:
        """Answer with what the account says."""
        if not sent.is_read:
            raise AssertionError(f"{sent.method} {sent.path} is no read")
        is_download = "://" in sent.path
        url = sent.path if is_download else f"{self._url}/{sent.path}"
        pool = self._plain if is_download else self._pool
        with pool.session() as session:
            response = session.call(
                sent.method, f"{url}?{sent.query}" if sent.query else url, timeout=self._timeout
            )
        return Answer(response.status_code, response.content, dict(response.headers))
