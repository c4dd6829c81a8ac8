"""Connections that hold an answer to limits: its seconds, its bytes, and the address it is from.

`http.client` waits for each part of an answer as long as for the first one, and reads a body of any
length. So a server that sends a byte a second, or a million headers, would hold a worker. `limit`
makes the connections of `urllib3` check the call's `Budget` at each read and write of the socket.
"""

from __future__ import annotations

import http.client
import io
import socket
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any, Final, Protocol

from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.util import parse_url

#: One address of IPv4 within one of IPv6, as networks without IPv4 write it.
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Services of Oracle's and Azure's clouds for their machines, which Python may take for public.
_OF_CLOUDS: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
_BLOCK_BYTES: Final = 64 * 1024
#: A JSON document has fewer values than one for so many bytes of the limit: values take more memory
#: than their text, up to 25 times as much.
BYTES_PER_VALUE: Final = 32


class AnswerRefusedError(Exception):
    """An answer exceeds a limit, or is not from an address that is allowed; it is not repeated."""


class Budget:
    """What one call may take, with its repetitions and redirections.

    Args:
        seconds: From the first attempt to the last byte of the answer. Waiting for the rate limiter
            does not count.
        max_bytes: Of the answer, before and after decompression.
    """

    __slots__ = ("_ends", "_left", "max_bytes", "seconds")

    def __init__(self, *, seconds: float, max_bytes: int) -> None:
        self.seconds = seconds
        self.max_bytes = self._left = max_bytes
        self._ends = monotonic() + seconds

    def is_over(self, *, after_seconds: float = 0.0) -> bool:
        """Whether no time is left, or will be left after some seconds."""
        return monotonic() + after_seconds >= self._ends

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: None are left.
        """
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def wait(self, until_allowed: Callable[[], None]) -> None:
        """Wait without using time of the call."""
        began = monotonic()
        until_allowed()
        self._ends += monotonic() - began

    def take(self, count: int) -> None:
        """Count bytes that have come.

        Raises:
            AnswerRefusedError: They are too many.
        """
        self._left -= count
        if self._left < 0:
            raise self.too_large()

    def too_large(self) -> AnswerRefusedError:
        """Return the error for an answer that is too large."""
        return AnswerRefusedError(
            f"the answer is larger than {self.max_bytes / 2**20:g} MiB "
            "(CONNECT_MAX_ANSWER_MEGABYTES)"
        )


class HasBudget(Protocol):
    """Knows the budget of the call that it makes now."""

    budget: Budget


class _Wire(io.RawIOBase):
    """The bytes that a socket receives, within the budget."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        super().__init__()
        self.budget = budget
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the file that `http.client` reads; it asks for it as it would ask a socket."""
        return _Buffer(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self.budget.remaining())
        count = self._raw.readinto(buffer)
        if count:
            self.budget.take(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffer(io.BufferedReader):
    """A buffer that makes no room for more than the budget, whatever length is announced."""

    raw: _Wire

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.raw.budget.max_bytes:
            raise self.raw.budget.too_large()
        return super().read(size)


class _Answer(http.client.HTTPResponse):
    """An answer of `http.client` that is read within the budget."""

    def __init__(self, sock: socket.socket, *args: Any, budget: Budget, **kwargs: Any) -> None:
        super().__init__(_Wire(sock, budget), *args, **kwargs)  # type: ignore[arg-type]  # see there

    def begin(self, **options: Any) -> None:
        """Read the headers; skip informational answers, whose final answer is still to come."""
        super().begin(**options)
        while 100 < self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first one
            super().begin(**options)


class _Limited:
    """What is added to a connection class of `urllib3`."""

    sock: socket.socket | None
    host: str
    port: int

    def __init__(
        self, *args: Any, owner: HasBudget, guard: Guard | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._guard = guard

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> _Answer:
        """Return the next answer; `http.client` has a class here."""
        return _Answer(sock, *args, budget=self._owner.budget, **kwargs)

    def send(self, data: Any) -> None:
        """Send a part of the call."""
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # of the connection class
        if self.sock is not None:
            self.sock.settimeout(self._owner.budget.remaining())
        super().send(data)  # type: ignore[misc]  # of the connection class

    def _new_conn(self) -> socket.socket:
        """Connect; to a guarded host only at an address that has been checked."""
        connect: Callable[[], socket.socket] = super()._new_conn  # type: ignore[misc]  # as above
        # A proxy resolves the name itself, and the operator has chosen it.
        is_proxied = getattr(self, "proxy", None) or hasattr(self, "_socks_options")
        if self._guard is None or is_proxied or self._guard.is_own(self.host, self.port):
            return connect()
        name, error = self.host, None
        try:
            for address in self._addresses(self._guard):
                self.host = address
                try:
                    self._owner.budget.remaining()
                    return connect()
                except (OSError, HTTPError) as exc:
                    error = exc
        finally:
            self.host = name
        raise error or OSError(f"{name} has no address")

    def _addresses(self, guard: Guard) -> list[str]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as exc:
            raise AnswerRefusedError(
                f"a link or redirection leads to {self.host[:100]!r}, which can't be a name"
            ) from exc
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc  # type: ignore[arg-type]
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            guard.require_public(address, host=self.host)
        return addresses


@cache
def _limited(pool_class: Any) -> Any:
    connection = type("LimitedConnection", (_Limited, pool_class.ConnectionCls), {})
    return type("LimitedPool", (pool_class,), {"ConnectionCls": connection})


def limit(manager: Any, owner: HasBudget, guard: Guard | None) -> None:
    """Make the connections of a pool manager keep to the owner's budget, and to the guard."""
    manager.pool_classes_by_scheme = {
        scheme: partial(_limited(pool_class), owner=owner, guard=guard)
        for scheme, pool_class in manager.pool_classes_by_scheme.items()
    }


class Guard:
    """Which addresses the links and redirections of an answer may lead to.

    Connect's own host and port, and public addresses: others belong to the worker's own network,
    where a service may trust each caller.

    Args:
        own_url: Connect's API.
        allows_private: Whether private addresses are allowed too.
    """

    def __init__(self, own_url: str, *, allows_private: bool = False) -> None:
        self._own = _origin(own_url)
        self._schemes = ("https", "http") if self._own[0] == "http" else ("https",)
        self._allows_private = allows_private

    def is_own(self, host: str, port: int) -> bool:
        """Whether it is Connect's own host and port, or all private addresses are allowed."""
        return self._allows_private or (host.lower(), port) == self._own[1:]

    def is_own_url(self, url: str) -> bool:
        """Whether the address is Connect's own, which may get the key."""
        return _origin(url) == self._own

    def require_allowed(self, url: object) -> str:
        """Return the URL if a call may go there, as far as it says without resolving a name.

        Raises:
            AnswerRefusedError: It is no URL, or leads to a private address.
        """
        scheme, host, port = _origin(url)
        if not isinstance(url, str) or not host or not port:
            raise AnswerRefusedError(f"a link or redirection has no address: {str(url)[:100]!r}")
        if scheme not in self._schemes:
            allowed = " or ".join(f"{name}://" for name in self._schemes)
            raise AnswerRefusedError(
                f"a link or redirection leads to {scheme[:20]}://{host[:100]}; only {allowed} is "
                "followed"
            )
        if not self.is_own(host, port) and (address := _literal(host)):
            self.require_public(address, host=host)
        return url

    def require_public(self, address: str, *, host: str) -> None:
        """Return if the address is public.

        Raises:
            AnswerRefusedError: It is not.
        """
        if not is_public(address):
            name = host[:100] if host == address else f"{host[:100]} ({address})"
            raise AnswerRefusedError(
                f"a link or redirection leads to {name}, which is no public address. If it should, "
                "set CONNECT_ALLOW_PRIVATE_HOSTS=true"
            )


def _origin(url: object) -> tuple[str, str, int]:
    """Return scheme, host and port in lower case; ("", "", 0) of what is no URL.

    The parser is the one that `requests` connects by: another one might see another host.
    """
    try:
        parts = parse_url(url if isinstance(url, str) else "")
    except ValueError:
        return "", "", 0
    scheme, host = parts.scheme or "", (parts.host or "").strip("[]").rstrip(".")
    return scheme, host, parts.port or {"http": 80, "https": 443}.get(scheme, 0)


def _literal(host: str) -> str:
    """Return the address that a host is instead of a name, such as `127.1`; "" for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else ""


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet.

    Examples:
        >>> [is_public(text) for text in ("52.28.1.1", "10.0.0.1", "::ffff:127.0.0.1", "fe80::1%2")]
        [True, False, False, False]
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ip_address(found.packed[-4:])  # type: ignore[assignment]  # of four bytes
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:
            return False
    if any(found in network for network in _OF_CLOUDS):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def decompress(body: bytes, encoding: str, budget: Budget) -> bytes:
    """Return a body as it was before its Content-Encoding: gzip, deflate or none.

    Raises:
        AnswerRefusedError: It is too large, incomplete, or encoded in a way that was not asked for.
    """
    name = encoding.strip().lower()
    if not body or name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise AnswerRefusedError(
            f"the answer has the Content-Encoding {name[:40]!r}, which was not asked for"
        )
    # `deflate` has a header of zlib, or with some servers none.
    is_bare = name == "deflate" and (body[0] & 0x0F != 8 or int.from_bytes(body[:2]) % 31 != 0)
    try:
        return b"".join(
            _inflated(body, -zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS | 32, budget)
        )
    except zlib.error as exc:
        raise AnswerRefusedError(f"the answer can't be decompressed: {exc}") from exc


def _inflated(body: bytes, window_bits: int, budget: Budget) -> Iterator[bytes]:
    inflater, size = zlib.decompressobj(window_bits), 0
    for start in range(0, len(body), _BLOCK_BYTES):
        data = body[start : start + _BLOCK_BYTES]
        while data:
            if inflater.eof:
                raise zlib.error("something follows its end")
            block = inflater.decompress(data, _BLOCK_BYTES)
            size += len(block)
            if size > budget.max_bytes:
                raise budget.too_large()
            yield block
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    # zlib itself keeps a few bits of the input, which are some kilobytes at most.
    yield inflater.flush()
    if not inflater.eof:
        raise zlib.error("it is incomplete")


def has_too_many_values(document: bytes, max_bytes: int) -> bool:
    """Whether a JSON document has so many values that they would take much more memory than it."""
    most = max_bytes // BYTES_PER_VALUE
    return len(document) > most and sum(map(document.count, (b",", b"[", b"{"))) > most
