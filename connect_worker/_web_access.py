"""Who reaches a web page of this project: the console, Flower and the exporter share these rules.

Nothing here needs a server: hosts and addresses are texts, and each answer is a value.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

from connect_worker.settings.environment import Network

# ---- hosts: is this the name that the browser means?


#: Names that no other site can have: a Compose file's services have no dot, and nobody can buy a
#: name that ends with one of these.
_INTERNAL: Final = ("internal", "local", "localhost", "svc")


def is_known_host(host: str, *urls: str, has_internal_names: bool = False) -> bool:
    """Whether a `Host` header names a service that is reached at one of these URLs.

    A page of another site may make its own name lead to this address (DNS rebinding), and would
    then have the same origin as the service. So a name must be known; an IP address is not a name.

    Args:
        host: The header.
        urls: Public addresses of the service; "" is none.
        has_internal_names: Whether names are known that mean something in this network only.
    """
    name = _host_name(f"//{host}")
    if not name:
        return False
    if name == "localhost" or _is_ip_address(name):
        return True
    is_internal = "." not in name or name.rpartition(".")[2] in _INTERNAL
    return name in map(_host_name, urls) or (has_internal_names and is_internal)


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# ---- addresses

#: A proxy in front of a proxy in front of a proxy: more are no deployment.
_MAX_FORWARDED: Final = 20


def visitor_address(request: HTTPServerRequest, proxies: Sequence[Network]) -> str:
    """Return the address of the browser that sent a request."""
    forwarded_for = request.headers.get("X-Forwarded-For", "")
    return client_address(request.remote_ip or "", forwarded_for, proxies)


def client_address(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """Return the address of the browser: the last one that no trusted proxy has.

    Each proxy adds the address that it was called from to `X-Forwarded-For`. What stands before
    the addresses of trusted proxies is written by the browser, so it is worth nothing.
    """
    address = peer
    for text in reversed(forwarded_for.split(",")[-_MAX_FORWARDED:]):
        caller = _without_port(text.strip())
        if not _is_member(address, proxies) or not _is_ip_address(caller):
            break
        address = caller
    return address


def _without_port(text: str) -> str:
    """Return the address of `192.0.2.7:4711` and `[2001:db8::7]:4711`, as some proxies write it."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # What follows is the name of a network card, and may be any text.
    return text.partition("%")[0]


def _is_member(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((mapped or found) in network for network in networks)


def client_network(address: str) -> str:
    """Return what one client has: an IPv4 address, or the 64 bits of an IPv6 network.

    Examples:
        >>> client_network("192.0.2.7"), client_network("2001:db8::7")
        ('192.0.2.7', '2001:db8::/64')
        >>> client_network("fe80::1%eth0")
        'fe80::/64'
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)


# ---- passwords

WINDOW_SECONDS: Final = 60.0
#: Wrong passwords within the window from one address.
MAX_WRONG_PER_ADDRESS: Final = 5
#: After so many from all addresses that have never signed in, each of them has one try.
MAX_WRONG: Final = 50
#: After so many they have none.
MAX_WRONG_AT_ALL: Final = 500
#: How many addresses that have signed in are remembered.
MAX_ADDRESSES: Final = 1000


class Throttle:
    """Makes addresses wait that give wrong passwords.

    Addresses together slow down only those that have never signed in: nobody can lock out an
    address from which the right password came. Its memory is bounded.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: The time and address of each wrong password, oldest first.
        self._wrong: deque[tuple[float, str]] = deque()
        #: The addresses that have signed in, longest ago first.
        self._known: dict[str, None] = {}

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait; 0 when it may try."""
        now, name = self._clock(), client_network(address)
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        own = [at for at, other in self._wrong if other == name]
        if name in self._known:
            return _wait(own, MAX_WRONG_PER_ADDRESS, now)
        strangers = [at for at, other in self._wrong if other not in self._known]
        is_busy = len(strangers) >= MAX_WRONG
        return max(
            _wait(own, 1 if is_busy else MAX_WRONG_PER_ADDRESS, now),
            _wait(strangers, MAX_WRONG_AT_ALL, now),
        )

    def record_wrong(self, address: str) -> None:
        """Count a wrong password of an address that did not have to wait."""
        self._wrong.append((self._clock(), client_network(address)))

    def record_right(self, address: str) -> None:
        """Remember that somebody at this address has the password."""
        name = client_network(address)
        self._known.pop(name, None)
        self._known[name] = None
        while len(self._known) > MAX_ADDRESSES:
            del self._known[next(iter(self._known))]


def _wait(times: list[float], limit: int, now: float) -> float:
    return times[-limit] + WINDOW_SECONDS - now if len(times) >= limit else 0.0


# ---- headers

#: What every service sends.
_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Other sites learn nothing. With `no-referrer` browsers would send `Origin: null` to the
    # console itself, and it could not distinguish its own forms from those of another site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: For one year, browsers call only https at this name.
TRANSPORT_SECURITY: Final = "max-age=31536000"


def is_https(url: str) -> bool:
    """Whether a service is reached by https, through its proxy."""
    return url.lower().startswith("https:")


def add_headers(headers: Mapping[str, str], *, url: str) -> type[OutputTransform]:
    """Return what gives every answer of a Tornado application its security headers, its errors
    included.

    Args:
        headers: What the service sends in addition to the common ones.
        url: The public address; with https, browsers call only https.
    """
    sent = {**_HEADERS, **headers}
    if is_https(url):
        sent["Strict-Transport-Security"] = TRANSPORT_SECURITY

    class AddedHeaders(OutputTransform):
        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            for name, text in sent.items():
                headers[name] = text
            return super().transform_first_chunk(status_code, headers, chunk, finishing)

    return AddedHeaders
