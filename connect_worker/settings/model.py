"""The worker's own settings: read once from the environment, frozen, passed in as an argument.

Every setting is an environment variable that starts with `CONNECT_`; a `.env` file in the
working directory may hold them too (the environment wins). A blank value counts as none; a
malformed one is refused with the name of its variable. What holds a secret may be given as a file
instead, by the variable's name and `_FILE`. What is said of a setting here is what README.md and
docs/configuration.md say of it. What each of several accounts has of its own, `accounts.py` reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from environs import Env, EnvValidationError
from marshmallow.validate import OneOf, Range, Regexp

from connect_worker.config import Config
from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import register_secret
from connect_worker.settings.docs import doc
from connect_worker.settings.environment import (
    PREFIX,
    account_names,
    encryption_keys,
    hide_passwords,
    is_blank,
    names,
    number,
    queue_names,
    secret,
    switch,
    text,
    whole,
)

_HTTP_URL = re.compile(r"https?://[^/\s]+", re.I)
_HTTP = Regexp(_HTTP_URL, error="must begin with http:// or https://")
_LONG_ENOUGH = Regexp(re.compile(r".{8,}", re.S), error="must have 8 characters or more")
# Connect takes 100 at most; HS256 asks for 32 bytes.
_STRONG = Regexp(
    re.compile(r"\s*[!-~]{32,100}\s*\Z"),
    error="must have 32 to 100 characters, none of them a blank",
)
_REDIS_URL = re.compile(r"(?:rediss?|unix)://\S+")
# The value itself may hold a password.
_REDIS_HINT = "must begin with redis://, rediss:// or unix://"
_REDIS = Regexp(_REDIS_URL, error=_REDIS_HINT)
_BROKER = Regexp(
    re.compile(r"(?:rediss?|redis\+socket|unix|sentinel|amqps?|pyamqp|memory)://\S*"),
    error="must begin with redis://, rediss://, unix://, sentinel://, amqp:// or amqps://",
)

DEFAULT_REDIS_URL = "redis://localhost:6379/0"
DEFAULT_POLL_SECONDS = 30.0
LOG_FORMATS = ("auto", "text", "json")

#: What each of several accounts has of its own only: an account must not get another one's.
NEVER_SHARED = (
    *("API_KEY", "API_KEY_FILE", "CONFIG_FILE", "PRODUCTS"),
    *("WEBHOOK_SECRET", "WEBHOOK_SECRET_FILE"),
)

#: The poll variable of each kind: `CONNECT_POLL_<NAME>_SECONDS`.
POLL_VARIABLES: Mapping[str, str] = {
    "fulfillment": "POLL_FULFILLMENT_SECONDS",
    "tier-config": "POLL_TIER_CONFIG_SECONDS",
    "usage-file": "POLL_USAGE_FILE_SECONDS",
    "usage": "POLL_USAGE_SECONDS",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a deployment chooses; times in seconds."""

    api_url: str = field(default="", metadata=doc("the API of your account; ends in `/public/v1`"))
    api_key: str = field(
        default="",
        repr=False,
        metadata=doc("the service user's key, with or without `ApiKey ` before it"),
    )
    products: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "ids of the products whose requests are processed, separated by commas", unset="all"
        ),
    )
    config_file: str = field(
        default="",
        metadata=doc(
            "a `config.json` of the SDK (`apiEndpoint`, `apiKey`, `products`). The three "
            "settings above override its values"
        ),
    )
    processors: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "your modules, as dotted names or `.py` paths, separated by commas. `:Class` "
            "after a module takes only that automation of it"
        ),
    )
    queues: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "queues of your automations in addition to those of the kinds, separated by commas",
            unset="none",
        ),
    )
    redis_url: str = field(
        default=DEFAULT_REDIS_URL,
        repr=False,
        metadata=doc(
            "the Redis of the ledger, and of the broker unless `CONNECT_BROKER_URL` names "
            "another one"
        ),
    )
    broker_url: str = field(
        default=DEFAULT_REDIS_URL,
        repr=False,
        metadata=doc(
            "the broker, if it is not the ledger's Redis: another Redis, or RabbitMQ (`amqp://…`)",
            unset="`CONNECT_REDIS_URL`",
        ),
    )
    #: By kind.
    poll_seconds: Mapping[str, float] = field(
        default_factory=dict,
        metadata=doc(
            "time between two polls of a kind: `CONNECT_POLL_SECONDS` for all kinds, the "
            "others for the kind in their name",
            unset=f"{DEFAULT_POLL_SECONDS:g}",
            also=tuple(POLL_VARIABLES.values()),
        ),
    )
    sweep_seconds: float = field(
        default=10.0,
        metadata=doc(
            "time between two sweeps. A sweep publishes the requests that are due and rescues "
            "those of dead workers"
        ),
    )
    lease_seconds: float = field(
        default=60.0,
        metadata=doc(
            "length of a lease, at least 1. A worker that has not renewed its lease for so "
            "long counts as dead"
        ),
    )
    max_attempts: int = field(
        default=8, metadata=doc("attempts of a processor before its request is parked")
    )
    retry_base_seconds: float = field(
        default=5.0,
        metadata=doc("delay after the first failed attempt. It doubles with each further one"),
    )
    retry_max_seconds: float = field(
        default=900.0, metadata=doc("the longest delay between two attempts")
    )
    skip_seconds: float = field(
        default=300.0, metadata=doc("delay of a request that its processor skipped")
    )
    timeout_seconds: float = field(
        default=30.0, metadata=doc("how long a call waits for Connect's answer")
    )
    page_size: int = field(default=500, metadata=doc("rows in one page of a list, 1,000 at most"))
    max_calls_per_second: float | None = field(
        default=None,
        metadata=doc(
            "rate limit of the calls to Connect, for all workers of the account together",
            unset="no limit",
        ),
    )
    say_activated: bool = field(
        default=True,
        metadata=doc(
            "post an `Activated using …` message to the request's conversation after "
            "approval, as the SDK does. `false` saves two of the four API calls of an "
            "approval"
        ),
    )
    keep_days: float = field(
        default=7.0, metadata=doc("how long the record of an ended request is kept")
    )
    heartbeat_file: str = field(
        default="",
        metadata=doc(
            "a file for liveness probes. A worker touches it every two seconds while it is "
            "connected to its broker",
            unset="none",
        ),
    )
    log_format: str = field(
        default="auto",
        metadata=doc(
            "log format of workers and beat: `text`, `json`, or `auto` (text on a terminal, "
            "otherwise JSON)"
        ),
    )
    flower_auth: str = field(
        default="",
        repr=False,
        metadata=doc("Flower's `user:password`; `FLOWER_BASIC_AUTH` works too", unset="none"),
    )
    #: The first one encrypts, all decrypt.
    encryption_key: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata=doc(
            "keys that encrypt the decisions in the ledger, separated by commas. The first "
            "one encrypts, all of them decrypt: "
            "[how](docs/security.md#encryption-of-the-ledger)",
            unset="none",
        ),
    )
    console_password: str = field(
        default="",
        repr=False,
        metadata=doc(
            "password of the web console (`connect-worker console`), at least 8 characters. "
            "Everybody who knows it may change requests there",
            unset="none: read-only",
        ),
    )
    console_url: str = field(
        default="",
        metadata=doc("the console's address for users. Flower links to it", unset="none"),
    )
    flower_url: str = field(
        default="",
        metadata=doc("Flower's address for users. The console links to it", unset="none"),
    )
    webhook_secret: str = field(
        default="",
        repr=False,
        metadata=doc(
            "signs Connect's webhook notifications; 32 to 100 characters: [how](docs/webhooks.md)",
            unset="none: no notifications",
        ),
    )
    webhook_url: str = field(
        default="",
        metadata=doc(
            "the address at which Connect reaches `connect-worker webhook serve`; `webhook "
            "register` needs it"
        ),
    )
    accounts: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "names of several accounts, separated by commas. Each account has variables of "
            "its own, such as `CONNECT_<NAME>_API_KEY`",
            unset="the one above",
        ),
    )

    @classmethod
    def from_env(cls, *, dotenv: str | None = ".env") -> Settings:
        """Read the environment, after loading the `.env` file into it where one exists.

        Raises:
            SettingsError: Naming every malformed variable and what is wrong with it.
        """
        with reading(dotenv) as env:
            if account_names(env, "ACCOUNTS"):
                _refuse_ownerless(env)
            values = read_values(env)
        return cls(**values)

    def variable(self, setting: str) -> str:
        """Return the variable that says it: `CONNECT_API_URL` for `API_URL`."""
        return f"{PREFIX}{setting}"

    def config(self) -> Config:
        """Return the account's `Config`, from the variables or from `CONNECT_CONFIG_FILE`.

        Raises:
            SettingsError: When the URL or the key is missing, or the file can't be used.
        """
        url, key, file = map(self.variable, ("API_URL", "API_KEY", "CONFIG_FILE"))
        missing = [name for name, value in ((url, self.api_url), (key, self.api_key)) if not value]
        if missing and not self.config_file:
            raise SettingsError(
                f"{' and '.join(missing)} not set: give your account's API URL (…/public/v1) and "
                f"service-user key, or name a config.json in {file}",
                setting=missing[0],
            )
        try:
            config = Config.local(
                self.api_url or None,
                self.api_key or None,
                list(self.products) or None,
                file=self.config_file or None,
            )
        except (OSError, TypeError, ValueError) as exc:
            name = file if self.config_file else f"{url}, {key}"
            said = f"{self.config_file} can't be used: {exc}" if self.config_file else str(exc)
            raise SettingsError(f"{name}: {said}", setting=name) from exc
        _require_usable(config, url=url, key=key)
        return config

    @property
    def has_own_broker(self) -> bool:
        """Whether the broker is another one than the ledger's Redis."""
        return self.broker_url != as_kombu_says(self.redis_url)

    @property
    def account(self) -> str:
        """A short name for the account in the ledger's keys, made without its secret."""
        return account_name(self.config())


def _require_usable(config: Config, *, url: str, key: str) -> None:
    if not _HTTP_URL.match(config.api_url):
        raise SettingsError(f"{url} is no http:// or https:// address", setting=url)
    if not config.api_key.isascii():
        raise SettingsError(f"{key}: the key has characters that no key has", setting=key)


def account_name(config: Config) -> str:
    """Name an account by its API URL and the public part of its key (`SU-…` before the colon)."""
    service_user = config.api_key.removeprefix("ApiKey ").partition(":")[0]
    text = f"{config.api_url.rstrip('/')}|{service_user}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def reading(dotenv: str | None) -> Iterator[Env]:
    """Give the environment to read, the `.env` file loaded into it where one exists.

    Raises:
        SettingsError: At the end, naming what was read and is malformed.
    """
    env = Env(prefix=PREFIX, eager=False)
    if dotenv is not None and Path(dotenv).is_file():
        env.read_env(dotenv, recurse=False)
    yield env
    try:
        env.seal()
    except EnvValidationError as exc:
        messages = cast("Mapping[str, list[str]]", exc.error_messages)
        problems = "; ".join(f"{name}: {' '.join(said)}" for name, said in messages.items())
        raise SettingsError(
            f"settings refused: {problems}", setting=next(iter(messages), "")
        ) from None


def _refuse_ownerless(env: Env) -> None:
    """Refuse a key or a restriction that no account would heed."""
    for name in NEVER_SHARED:
        if not is_blank(env, name):
            raise SettingsError(
                f"settings refused: {PREFIX}{name} is nobody's beside {PREFIX}ACCOUNTS: name the "
                f"account that it is for, {PREFIX}<ACCOUNT>_{name}",
                setting=f"{PREFIX}{name}",
            )


def as_kombu_says(url: str) -> str:
    """Return a broker's URL with kombu's name for a socket file; redis-py's is ``unix://``.

    Examples:
        >>> as_kombu_says("unix:///run/redis.sock?db=1")
        'redis+socket:///run/redis.sock?virtual_host=1'
    """
    if not url.startswith("unix://"):
        return url
    parts = urlsplit(url)
    query = {"virtual_host" if k == "db" else k: v for k, v in parse_qsl(parts.query)}
    address = f"redis+socket://{parts.netloc}{parts.path}"
    return f"{address}?{urlencode(query)}" if query else address


def read_values(env: Env, own: Callable[[str], str] = str) -> dict[str, Any]:
    """Read the variables; `own` names the one that says a setting which accounts may differ in."""
    poll = number(env, own("POLL_SECONDS"), DEFAULT_POLL_SECONDS)
    redis_url = secret(env, "REDIS_URL", validate=_REDIS) or DEFAULT_REDIS_URL
    broker_url = secret(env, "BROKER_URL", validate=_BROKER) or redis_url
    hide_passwords("CONNECT_REDIS_URL", redis_url)
    hide_passwords("CONNECT_BROKER_URL", broker_url)
    flower_auth = secret(env, "FLOWER_AUTH")
    register_secret(flower_auth.partition(":")[2])
    console_password = secret(env, "CONSOLE_PASSWORD", validate=_LONG_ENOUGH)
    register_secret(console_password)
    webhook_secret = secret(env, own("WEBHOOK_SECRET"), validate=_STRONG)
    register_secret(webhook_secret)
    return {
        "api_url": text(env, own("API_URL")),
        "api_key": secret(env, own("API_KEY")),
        "products": names(env, own("PRODUCTS")),
        "config_file": text(env, own("CONFIG_FILE")),
        "processors": names(env, own("PROCESSORS")),
        "queues": queue_names(env, own("QUEUES")),
        "redis_url": redis_url,
        "broker_url": as_kombu_says(broker_url),
        "poll_seconds": {
            kind: number(env, own(name), poll) for kind, name in POLL_VARIABLES.items()
        },
        "sweep_seconds": number(env, own("SWEEP_SECONDS"), 10.0),
        "lease_seconds": number(env, own("LEASE_SECONDS"), 60.0, validate=Range(min=1)),
        "max_attempts": whole(env, own("MAX_ATTEMPTS"), 8, validate=Range(min=1)),
        "retry_base_seconds": number(env, own("RETRY_BASE_SECONDS"), 5.0),
        "retry_max_seconds": number(env, own("RETRY_MAX_SECONDS"), 900.0),
        "skip_seconds": number(env, own("SKIP_SECONDS"), 300.0),
        "timeout_seconds": number(env, own("TIMEOUT_SECONDS"), 30.0),
        "page_size": whole(env, own("PAGE_SIZE"), 500, validate=Range(min=1, max=1000)),
        "max_calls_per_second": number(env, own("MAX_CALLS_PER_SECOND"), None),
        "say_activated": switch(env, own("SAY_ACTIVATED"), default=True),
        "keep_days": number(env, own("KEEP_DAYS"), 7.0),
        "heartbeat_file": text(env, "HEARTBEAT_FILE"),
        "log_format": text(env, "LOG_FORMAT", validate=OneOf(LOG_FORMATS)) or "auto",
        "flower_auth": flower_auth,
        "console_password": console_password,
        "console_url": text(env, "CONSOLE_URL", validate=_HTTP),
        "flower_url": text(env, "FLOWER_URL", validate=_HTTP),
        "webhook_secret": webhook_secret,
        "webhook_url": text(env, "WEBHOOK_URL", validate=_HTTP),
        "encryption_key": encryption_keys(secret(env, "ENCRYPTION_KEY")),
        "accounts": account_names(env, "ACCOUNTS"),
    }
