"""Reads the URLs of Redis and of the broker once, for all libraries that connect with them.

redis-py, kombu, py-amqp and Flower read a URL differently. By default kombu verifies no certificate
of `rediss://`, py-amqp verifies no host name of `amqps://`, and Flower refuses TLS options in a
URL. So a URL is checked here, and `celery_broker` returns the options in Celery's own settings.
tests/acceptance/security/test_redis_tls.py gives each process a server with a wrong certificate.

None of them reads the URL of several Sentinels: `read_sentinels` does. The password before the @ is
that of Redis. The Sentinels' own password has a setting, since a password in a query is refused;
`server_url` adds it to the URL that it returns, which no program shows.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from environs import Env
from marshmallow.validate import Regexp

from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import register_secret
from connect_worker.settings.environment import PREFIX, refused, secret

_SENTINEL: Final = ("sentinel", "rediss+sentinel")
_TLS: Final = ("rediss", "amqps", "rediss+sentinel")
#: A host of a Sentinel: an IPv6 address in brackets, or else a name or address; and its port.
_SENTINEL_HOST: Final = re.compile(
    r"(?:\[([0-9a-f:.%]+)\]|([\w.-]+))(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE
)
_SENTINEL_PORT: Final = 26379
#: For the answers of all Sentinels together, as for that of one server.
_SENTINEL_SECONDS: Final = 5.0
_SENTINEL_FORM: Final = "sentinel://a:26379,b:26379,c:26379/0?master_name=…"
#: What to do where a server's certificate, or the name in it, is refused.
CERTIFICATE_REMEDY: Final = (
    "name its authority in the URL, such as rediss://…?ssl_ca_certs=/path/ca.pem, and use a host "
    "name that is in the certificate"
)

_CELERY_VARIABLES: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
)
_CHECKS: Final = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
_SWITCH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class CeleryBroker:
    """A broker's URL as Celery's settings `broker_url`, `broker_use_ssl` and
    `broker_transport_options`."""

    url: str = field(repr=False)
    use_ssl: dict[str, Any] | None = None
    transport_options: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels that know the primary's address, and what redis-py takes to connect."""

    hosts: tuple[tuple[str, int], ...]
    #: The name that the Sentinels have for the primary and its replicas.
    master_name: str
    #: How to connect to the primary.
    primary: dict[str, Any] = field(repr=False)
    #: How to connect to a Sentinel.
    sentinel: dict[str, Any] = field(repr=False)


def server_url(env: Env, name: str, default: str, *, validate: Regexp) -> str:
    """Return the URL of a server, a secret, and mask its password from now on.

    Several URLs of a broker are separated by semicolons.

    Raises:
        SettingsError: The URL is malformed, has a parameter that is unknown or has no usable
            value, or has its password where programs show it.
    """
    value = secret(env, name, default, validate=validate)
    variable = f"{PREFIX}{name}"
    urls = [_checked(variable, item) for item in value.split(";")]
    if not any(_split(url).scheme in _SENTINEL for url in urls):
        return ";".join(urls)
    if len(urls) > 1:
        raise refused(variable, f"names Sentinels in several URLs: use one, {_SENTINEL_FORM}")
    password = quote(secret(env, "SENTINEL_PASSWORD", mask=True), safe="")
    register_secret(password)
    return f"{urls[0]}&sentinel_password={password}" if password else urls[0]


def celery_broker(url: str) -> CeleryBroker:
    """Return a broker's URL as Celery's settings.

    A certificate and the host name in it are verified unless the URL says otherwise.

    Examples:
        >>> celery_broker("unix:///run/redis.sock?db=1").url
        'redis+socket:///run/redis.sock?virtual_host=1'
        >>> celery_broker("rediss://redis.example.com:6379/0").use_ssl["ssl_cert_reqs"].name
        'CERT_REQUIRED'
    """
    brokers = [_celery_broker(item) for item in url.split(";")]
    first = brokers[0]
    return CeleryBroker(
        ";".join(broker.url for broker in brokers), first.use_ssl, first.transport_options
    )


def read_sentinels(url: str, *, timeout_seconds: float = _SENTINEL_SECONDS) -> Sentinels | None:
    """Return what the URL of Sentinels says; None for any other URL.

    Args:
        url: As `server_url` returns it.
        timeout_seconds: The time for the answers of all Sentinels together.

    Examples:
        >>> read_sentinels("sentinel://a,b:26380/2?master_name=orders").hosts
        (('a', 26379), ('b', 26380))
    """
    parts = _split(url)
    if parts.scheme not in _SENTINEL:
        return None
    query = dict(parse_qsl(parts.query))
    tls = _redis_tls(parts, query)
    common = {"ssl": True, **tls} if tls else {}
    logins = {"username": parts.username, "password": parts.password}
    hosts = tuple(_sentinel_hosts(parts))
    return Sentinels(
        hosts=hosts,
        master_name=query["master_name"],
        primary={
            "db": int(query.get("db") or parts.path.strip("/") or 0),
            **{name: unquote(value) for name, value in logins.items() if value},
            **{name: float(query[name]) for name in _SECONDS if name in query},
            **({"protocol": int(query["protocol"])} if "protocol" in query else {}),
            **common,
        },
        sentinel={
            **{
                name: query[f"sentinel_{name}"]
                for name in ("username", "password")
                if f"sentinel_{name}" in query
            },
            **dict.fromkeys(_SECONDS, timeout_seconds / len(hosts)),
            # By default redis-py asks a dead Sentinel again for seconds, before the next one.
            "retry": None,
            **common,
        },
    )


def _sentinel_hosts(parts: SplitResult) -> Iterator[tuple[str, int]]:
    for item in parts.netloc.rpartition("@")[2].split(","):
        match = _SENTINEL_HOST.fullmatch(item)
        if match is None or int(match[3] or 1) > 65535:
            raise ValueError
        yield match[1] or match[2], int(match[3] or _SENTINEL_PORT)


def _celery_sentinels(parts: SplitResult, sentinels: Sentinels) -> CeleryBroker:
    """Return the form that kombu takes: a URL for each Sentinel, all with the primary's login."""
    login, at, _ = parts.netloc.rpartition("@")
    database = sentinels.primary["db"]
    hosts = [(f"[{host}]" if ":" in host else host, port) for host, port in sentinels.hosts]
    return CeleryBroker(
        ";".join(f"sentinel://{login}{at}{host}:{port}/{database}" for host, port in hosts),
        {name: value for name, value in sentinels.primary.items() if name.startswith("ssl_")}
        or None,
        {
            **{name: sentinels.primary[name] for name in _SECONDS if name in sentinels.primary},
            "master_name": sentinels.master_name,
            "sentinel_kwargs": sentinels.sentinel,
        },
    )


def _split(url: str) -> SplitResult:
    """Split a URL; `urlsplit` takes several hosts with IPv6 addresses for a malformed one."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _SENTINEL:
        return urlsplit(url)
    address, _, query = rest.partition("?")
    netloc, slash, path = address.partition("/")
    return SplitResult(scheme.lower(), netloc, slash + path, query, "")


def _celery_broker(url: str) -> CeleryBroker:
    parts = _split(url)
    query = dict(parse_qsl(parts.query))
    if sentinels := read_sentinels(url):
        return _celery_sentinels(parts, sentinels)
    if parts.scheme == "unix":
        host = {"virtual_host": query["db"]} if "db" in query else {}
        address = f"redis+socket://{parts.netloc}{parts.path}"
        return CeleryBroker(f"{address}?{urlencode(host)}" if host else address)
    if parts.scheme in ("redis", "rediss"):
        options: dict[str, Any] = {name: float(query[name]) for name in _SECONDS if name in query}
        if "db" in query:
            parts = parts._replace(path=f"/{query['db']}")
        own = parts._replace(query="").geturl()
        return CeleryBroker(own, _redis_tls(parts, query), options)
    if parts.scheme == "amqps":
        rest = {name: value for name, value in query.items() if not name.startswith("ssl_")}
        own = parts._replace(query=urlencode(rest)).geturl()
        return CeleryBroker(own, _amqp_tls(parts, query))
    return CeleryBroker(url)


def _redis_tls(parts: SplitResult, query: dict[str, str]) -> dict[str, Any] | None:
    """Return the options that redis-py takes."""
    if parts.scheme not in _TLS:
        return None
    reqs, checks_name = _verification(query)
    return {
        "ssl_cert_reqs": reqs,
        "ssl_check_hostname": checks_name,
        **{name: query[name] for name in _FILES if name in query},
    }


def _amqp_tls(parts: SplitResult, query: dict[str, str]) -> dict[str, Any]:
    """Return the options that py-amqp takes; it verifies a name where it is given one."""
    reqs, checks_name = _verification(query)
    names = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
    options: dict[str, Any] = {names[name]: query[name] for name in _FILES if name in query}
    if checks_name:
        options["server_hostname"] = parts.hostname
    return {"cert_reqs": reqs, **options}


def refuse_celery_variables() -> None:
    """Refuse the variables that Celery prefers to this project's settings.

    Raises:
        SettingsError: Names one that is set, and what to set in its place.
    """
    for name in _CELERY_VARIABLES:
        if os.environ.get(name):
            raise SettingsError(
                f"settings refused: {name} is set, and Celery would use it: remove it, and set "
                "CONNECT_BROKER_URL or CONNECT_REDIS_URL (celery's option --broker sets it too)",
                setting=name,
            )


def describe_tls(url: str) -> tuple[bool, str]:
    """Return whether a TLS connection to the server is verified in full, and a sentence about it.

    The sentence is empty for a URL without TLS.
    """
    parts = _split(url.partition(";")[0])
    if parts.scheme not in _TLS:
        return True, ""
    reqs, checks_name = _verification(dict(parse_qsl(parts.query)))
    if reqs != ssl.CERT_REQUIRED:
        return False, "TLS, but the certificate is not verified (ssl_cert_reqs in its URL)"
    if not checks_name:
        return False, "TLS, but the host name is not verified (ssl_check_hostname in its URL)"
    return True, "TLS: certificate and host name are verified"


def _verification(query: dict[str, str]) -> tuple[ssl.VerifyMode, bool]:
    reqs = _CHECKS[query.get("ssl_cert_reqs", "required")]
    named = _SWITCH[query.get("ssl_check_hostname", "true")]
    return reqs, named and reqs != ssl.CERT_NONE


def _number(least: float, value: str) -> str:
    if not float(least) <= float(value) < 1e6:
        raise ValueError
    return value


def _database(value: str) -> str:
    if not (value.isascii() and value.isdigit() and len(value) <= 4):
        raise ValueError
    return str(int(value))


def _one_of(allowed: tuple[str, ...], value: str) -> str:
    if value not in allowed:
        raise ValueError
    return value


def _cert_reqs(value: str) -> str:
    return _one_of(tuple(_CHECKS), value.lower().removeprefix("cert_"))


def _named(value: str) -> str:
    if not value.strip():
        raise ValueError
    return value


def _flag(value: str) -> str:
    return str(_SWITCH[value.lower()]).lower()


_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SECONDS: Final = ("socket_timeout", "socket_connect_timeout")
#: What a URL's query may have: how each value is read, and what it must be.
_TLS_PARAMETERS: Final[dict[str, tuple[Callable[[str], str], str]]] = {
    "ssl_cert_reqs": (_cert_reqs, "required, optional or none"),
    "ssl_check_hostname": (_flag, "true or false"),
    **dict.fromkeys(_FILES, (str, "a file")),
}
_REDIS_PARAMETERS: Final[dict[str, tuple[Callable[[str], str], str]]] = {
    "db": (_database, "the number of a database, such as 0"),
    "protocol": (partial(_one_of, ("2", "3")), "2 or 3"),
    **{name: (partial(_number, 0.1), "seconds, 0.1 or more") for name in _SECONDS},
}
_SENTINEL_PARAMETERS: Final[dict[str, tuple[Callable[[str], str], str]]] = {
    "master_name": (_named, "the name that the Sentinels have for the primary"),
    "sentinel_username": (_named, "the user of the Sentinels"),
    **_REDIS_PARAMETERS,
}
_AMQP_PARAMETERS: Final[dict[str, tuple[Callable[[str], str], str]]] = {
    "heartbeat": (partial(_number, 0), "seconds"),
}


def _checked(variable: str, url: str) -> str:
    """Return the URL with each parameter in the form that the libraries take."""
    try:
        parts = _split(url)
        # Read here, for its own error would show what it takes for a port.
        _ = list(_sentinel_hosts(parts)) if parts.scheme in _SENTINEL else parts.port
    except ValueError:
        raise refused(
            variable, "is no URL: quote special characters of a password, such as %2F for /"
        ) from None
    register_secret(parts.password or "", unquote(parts.password or ""))
    items = parse_qsl(parts.query, keep_blank_values=True)
    if any(name == "password" for name, _ in items):
        raise refused(variable, "has its password in the query: put it before the @")
    if any(name == "sentinel_password" for name, _ in items):
        raise refused(variable, f"has a password in the query: use {PREFIX}SENTINEL_PASSWORD")
    if parts.scheme in ("redis", "rediss"):
        known = _REDIS_PARAMETERS
        _check_path(variable, parts, dict(items))
    elif parts.scheme == "unix":
        known = {"db": _REDIS_PARAMETERS["db"]}
    elif parts.scheme in _SENTINEL:
        known = _SENTINEL_PARAMETERS
        _check_path(variable, parts, dict(items))
        if not any(name == "master_name" for name, _ in items):
            raise refused(variable, f"lacks master_name: write {_SENTINEL_FORM}")
    elif parts.scheme in ("amqp", "pyamqp", "amqps"):
        known = _AMQP_PARAMETERS
    else:
        return url
    if parts.scheme in _TLS:
        known = known | _TLS_PARAMETERS
    query = [(name, _value(variable, parts.scheme, name, value, known)) for name, value in items]
    address = url.partition("?")[0]
    return f"{address}?{urlencode(query, quote_via=quote, safe='/')}" if query else address


def _check_path(variable: str, parts: SplitResult, query: dict[str, str]) -> None:
    number = parts.path.removeprefix("/")
    if number and not (number.isascii() and number.isdigit()):
        # The path may be the end of a password with a slash in it.
        raise refused(
            variable,
            "names a database that is no number: end the address with the number of one, such as "
            "/0, and quote special characters of a password, such as %2F for /",
        )
    if number and query.get("db", number) != number:
        raise refused(variable, f"names two databases, /{number} and ?db=: remove one of the two")


def _value(
    variable: str,
    scheme: str,
    name: str,
    value: str,
    known: dict[str, tuple[Callable[[str], str], str]],
) -> str:
    if name not in known:
        hint = f"use {', '.join(known)}, or none"
        if name in _TLS_PARAMETERS and scheme in ("redis", "sentinel"):
            hint = f"use {'rediss' if scheme == 'redis' else 'rediss+sentinel'}:// for TLS"
        elif name == "master_name":
            hint = f"use {_SENTINEL_FORM}"
        raise refused(variable, f"has the unknown parameter {name[:40]!r}: {hint}")
    read, wanted = known[name]
    try:
        return read(value)
    except (KeyError, ValueError):
        raise refused(variable, f"has {name}={value[:40]}, and it must be {wanted}") from None
