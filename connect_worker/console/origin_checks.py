"""Whom a browser thinks it is talking to, and on whose behalf it asks."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_known_host(host: str, console_url: str) -> bool:
    """Whether a `Host` header names this console.

    A page of another site may have its own name lead to this address (DNS rebinding), and would
    then be of one origin with the console: so names must be known. An address is not a name.
    """
    name = _name_of(f"//{host}")
    if not name:
        return False
    return name == "localhost" or _is_ip(name) or name == _name_of(console_url)


def is_own_origin(origin: str | None, fetch_site: str | None, host: str, console_url: str) -> bool:
    """Whether a request that changes something comes from the console's own page.

    Browsers send `Origin` with every POST, and most send `Sec-Fetch-Site`; a script without either
    still needs the token.
    """
    if fetch_site not in (None, "same-origin"):
        return False
    if origin is None:
        return True
    own = {host.lower(), _place_of(console_url)}
    return bool(_place_of(origin)) and _place_of(origin) in own


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _place_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
