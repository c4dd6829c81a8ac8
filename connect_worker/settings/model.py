"""The worker's own settings: read once from the environment, frozen, passed in as an argument.

Every setting is an environment variable that starts with `CONNECT_`, or a line in a `.env` file in
the working directory; the environment takes precedence. A blank variable counts as missing. A
malformed one is refused with its name. `NAME_FILE` may name a file that contains the secret `NAME`.

`Settings` declares each setting once: default, reader and description. `make tables` writes the
descriptions into docs/configuration.md. `accounts.py` reads the settings of several accounts.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from dotenv import load_dotenv
from environs import Env, EnvValidationError
from marshmallow.validate import OneOf, Range, Regexp

from connect_worker.config import Config
from connect_worker.exceptions import SettingsError
from connect_worker.settings.environment import (
    PREFIX,
    READING,
    Network,
    Scope,
    account_names,
    api_key,
    doc,
    encryption_keys,
    is_blank,
    login,
    names,
    networks,
    number,
    queue_names,
    secret,
    setting,
    switch,
    text,
    whole,
)
from connect_worker.settings.urls import server_url

_HTTP_URL = re.compile(r"https?://[^/\s]+", re.I)
_HTTP = Regexp(_HTTP_URL, error="must begin with http:// or https://")
_LONG_ENOUGH = Regexp(re.compile(r".{8,}", re.S), error="must have 8 characters or more")
# Connect takes 100 at most; HS256 asks for 32 bytes.
_STRONG = Regexp(
    re.compile(r"\s*[!-~]{32,100}\s*\Z"),
    error="must have 32 to 100 characters, none of them a blank",
)
_KEY_PREFIX = Regexp(
    re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z"),
    error="must have 1 to 32 lower-case letters, digits, - or _, and begin with none of the last",
)
_REDIS_URL = re.compile(r"(?:rediss?|unix|sentinel|rediss\+sentinel)://\S+")
# The value itself may hold a password.
_REDIS_HINT = "must begin with redis://, rediss://, unix://, sentinel:// or rediss+sentinel://"
_REDIS = Regexp(_REDIS_URL, error=_REDIS_HINT)
_BROKER = Regexp(
    re.compile(
        r"(?:rediss?|redis\+socket|unix|sentinel|rediss\+sentinel|amqps?|pyamqp|memory)://\S*"
    ),
    error="must begin with redis://, rediss://, unix://, sentinel://, rediss+sentinel://, "
    "amqp:// or amqps://",
)

DEFAULT_REDIS_URL = "redis://localhost:6379/0"
DEFAULT_POLL_SECONDS = 30.0
LOG_FORMATS = ("auto", "text", "json")

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

    api_url: str = setting(
        "",
        text,
        "the API of your account; ends in `/public/v1`",
    )
    api_key: str = setting(
        "",
        api_key,
        "the service user's key, with or without `ApiKey ` before it",
        scope=Scope.OWN,
        is_secret=True,
    )
    products: tuple[str, ...] = setting(
        (),
        names,
        "ids of the products whose requests are processed, separated by commas",
        scope=Scope.OWN,
        unset="all",
    )
    config_file: str = setting(
        "",
        text,
        "a `config.json` of the SDK (`apiEndpoint`, `apiKey`, `products`). The three "
        "settings above override its values",
        scope=Scope.OWN,
    )
    processors: tuple[str, ...] = setting(
        (),
        names,
        "your modules, as dotted names or `.py` paths, separated by commas. `:Class` "
        "after a module takes only that automation of it",
    )
    queues: tuple[str, ...] = setting(
        (),
        queue_names,
        "queues of your automations in addition to those of the kinds, separated by commas",
        unset="none",
    )
    redis_url: str = setting(
        DEFAULT_REDIS_URL,
        partial(server_url, validate=_REDIS),
        "the Redis of the ledger, and of the broker unless `CONNECT_BROKER_URL` names another one",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
    )
    broker_url: str = setting(
        DEFAULT_REDIS_URL,
        partial(server_url, validate=_BROKER),
        "the broker, if it is not the ledger's Redis: another Redis, or RabbitMQ (`amqp://…`)",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
        unset="`CONNECT_REDIS_URL`",
    )
    prefix: str = setting(
        "",
        partial(text, validate=_KEY_PREFIX),
        "begins each key and channel in Redis, and each queue and exchange at the broker, so that "
        "deployments can share a server: [how](docs/deployment.md#two-deployments-on-one-server)",
        scope=Scope.DEPLOYMENT,
        unset="none",
    )
    sentinel_password: str = setting(
        "",
        partial(secret, mask=True),
        "the password of the Sentinels, where `CONNECT_REDIS_URL` or `CONNECT_BROKER_URL` begins "
        "with `sentinel://` or `rediss+sentinel://`",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
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
    sweep_seconds: float = setting(
        10.0,
        number,
        "time between two sweeps. A sweep publishes the requests that are due and rescues "
        "those of dead workers",
    )
    lease_seconds: float = setting(
        60.0,
        partial(number, validate=Range(min=1)),
        "length of a lease, at least 1. A worker that has not renewed its lease for so "
        "long counts as dead. A poll ends after five times this, and the next one begins again",
    )
    max_attempts: int = setting(
        8,
        partial(whole, validate=Range(min=1)),
        "attempts of a processor before its request is parked",
    )
    retry_base_seconds: float = setting(
        5.0,
        number,
        "delay after the first failed attempt. It doubles with each further one",
    )
    retry_max_seconds: float = setting(
        900.0,
        number,
        "the longest delay between two attempts",
    )
    skip_seconds: float = setting(
        300.0,
        number,
        "delay of a request that its processor skipped",
    )
    timeout_seconds: float = setting(
        30.0,
        number,
        "how long a call to Connect may take, with its repetitions, until the last byte of the "
        "answer. A page of a list, and the upload or download of a file, may take ten times as "
        "long: 300 seconds, as with the SDK",
    )
    max_answer_megabytes: float = setting(
        64.0,
        number,
        "the largest answer of Connect in MiB, before and after decompression, and the largest "
        "file that it links to. A call with a larger answer fails",
    )
    max_list_rows: int = setting(
        200_000,
        partial(whole, validate=Range(min=1)),
        "how many rows of a list are read. A poll leaves the others to later polls. For other "
        "callers a longer list is an error",
    )
    allow_private_hosts: bool = setting(
        False,
        switch,
        "follow links and redirections of Connect to private addresses too, such as `10.0.0.1`, if "
        "files are stored in your own network. Connect's own host is always allowed",
    )
    page_size: int = setting(
        500,
        partial(whole, validate=Range(min=1, max=1000)),
        "rows in one page of a list, 1,000 at most",
    )
    max_calls_per_second: float | None = setting(
        None,
        number,
        "rate limit of the calls to Connect, for all workers of the account together",
        unset="no limit",
    )
    say_activated: bool = setting(
        True,
        switch,
        "post an `Activated using …` message to the request's conversation after "
        "approval, as the SDK does. `false` saves two of the four API calls of an "
        "approval",
    )
    keep_days: float = setting(
        7.0,
        number,
        "how long the record of an ended request is kept. Inquired requests are kept for 400 days, "
        "usage listings for 62",
    )
    heartbeat_file: str = setting(
        "",
        text,
        "a file for liveness probes. A worker touches it every two seconds while it is "
        "connected to its broker, beat once a minute at least",
        scope=Scope.DEPLOYMENT,
        unset="none",
    )
    remote_control: bool = setting(
        False,
        switch,
        "`true` lets anyone who can write to the broker control the workers with Celery's commands "
        "(`celery control shutdown`, `cancel_consumer`, `rate_limit`, …; Flower's buttons). "
        "Otherwise workers only answer questions (`celery inspect`)",
        scope=Scope.DEPLOYMENT,
    )
    log_format: str = setting(
        "auto",
        partial(text, validate=OneOf(LOG_FORMATS)),
        "log format of workers, beat, Flower, the console, the exporter and the receiver: `text`, "
        "`json`, or `auto` (text on a terminal, otherwise JSON)",
        scope=Scope.DEPLOYMENT,
    )
    flower_auth: str = setting(
        "",
        login,
        "Flower's `user:password`; `FLOWER_BASIC_AUTH` works too",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
        unset="none",
    )
    #: The first one encrypts, all decrypt.
    encryption_key: tuple[str, ...] = setting(
        (),
        encryption_keys,
        "keys that encrypt the decisions in the ledger, separated by commas. The first "
        "one encrypts, all of them decrypt; `plain` stands for no encryption: "
        "[how](docs/security.md#encryption-of-the-ledger)",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
        unset="none",
    )
    console_password: str = setting(
        "",
        partial(secret, validate=_LONG_ENOUGH, mask=True),
        "password of the web console (`connect-worker console`), at least 8 characters. "
        "Anyone who knows it may change requests there",
        scope=Scope.DEPLOYMENT,
        is_secret=True,
        unset="none: read-only",
    )
    console_url: str = setting(
        "",
        partial(text, validate=_HTTP),
        "the console's address for users. Flower links to it",
        scope=Scope.DEPLOYMENT,
        unset="none",
    )
    flower_url: str = setting(
        "",
        partial(text, validate=_HTTP),
        "Flower's address for users. The console links to it",
        scope=Scope.DEPLOYMENT,
        unset="none",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (),
        networks,
        "addresses and networks of the proxies in front of the console, Flower and the receiver "
        "of notifications, separated by commas. The visitor's address in `X-Forwarded-For` counts "
        "only when one of them sends it",
        scope=Scope.DEPLOYMENT,
        unset="none",
    )
    webhook_secret: str = setting(
        "",
        partial(secret, validate=_STRONG, mask=True),
        "signs Connect's webhook notifications; 32 to 100 characters: [how](docs/webhooks.md)",
        scope=Scope.OWN,
        is_secret=True,
        unset="none: no notifications",
    )
    webhook_url: str = setting(
        "",
        partial(text, validate=_HTTP),
        "the address at which Connect reaches `connect-worker webhook serve`; `webhook "
        "register` needs it",
        scope=Scope.DEPLOYMENT,
    )
    validation_seconds: float = setting(
        10.0,
        number,
        "how long a [validation](docs/webhooks.md#validation) may take. The process that runs a "
        "longer one is killed, and the customer's order goes on or is held back as the validator "
        "says",
        scope=Scope.DEPLOYMENT,
    )
    accounts: tuple[str, ...] = setting(
        (),
        account_names,
        "names of several accounts, separated by commas. Each account has variables of "
        "its own, such as `CONNECT_<NAME>_API_KEY`",
        scope=Scope.DEPLOYMENT,
        unset="the one above",
    )

    @classmethod
    def from_env(cls, *, dotenv: str | None = ".env") -> Settings:
        """Read the environment, after loading the `.env` file into it if there is one.

        Raises:
            SettingsError: Names every malformed variable and says what is wrong with it.
        """
        with reading(dotenv) as env:
            if account_names(env, "ACCOUNTS"):
                _refuse_unused(env)
            values = read_values(env)
        return cls(**values)

    @classmethod
    def of_calls(cls) -> Settings:
        """Read the settings of a call to Connect from the environment, and no others.

        A script that calls `process()` has these settings, even where others are malformed.

        Raises:
            SettingsError: Names every malformed variable and says what is wrong with it.
        """
        with reading(None) as env:
            values = {
                item.name: item.metadata[READING].read(env, item.name.upper(), item.default)
                for item in fields(cls)
                if item.name in CALL_SETTINGS
            }
        return cls(**values)

    def variable(self, setting: str) -> str:
        """Return the variable of a setting: `CONNECT_API_URL` for `API_URL`."""
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
            why = f"{self.config_file} can't be used: {exc}" if self.config_file else str(exc)
            raise SettingsError(f"{name}: {why}", setting=name) from exc
        _require_usable(config, url=url, key=key)
        return config

    @property
    def has_own_broker(self) -> bool:
        """Whether the broker is not the ledger's Redis."""
        return self.broker_url != self.redis_url

    @property
    def key_prefix(self) -> str:
        """What each name at Redis and the broker begins with."""
        return f"{self.prefix}:" if self.prefix else ""

    @property
    def max_answer_bytes(self) -> int:
        """The largest answer of Connect, in bytes."""
        return int(self.max_answer_megabytes * 2**20)

    @property
    def account(self) -> str:
        """A short name of the account for the ledger's keys, without its secret."""
        return account_name(self.config())


def _names(scope: Scope) -> tuple[str, ...]:
    return tuple(
        item.name.upper()
        for item in fields(Settings)
        if READING in item.metadata and item.metadata[READING].scope is scope
    )


#: What a call to Connect may take, and which links of an answer it may follow.
CALL_SETTINGS: Final = frozenset(
    ["timeout_seconds", "max_answer_megabytes", "max_list_rows", "allow_private_hosts", "page_size"]
)

#: The settings of the whole deployment.
SHARED: Final = tuple(name for name in _names(Scope.DEPLOYMENT) if name != "ACCOUNTS")
#: The variables of the settings that each of several accounts has for itself only.
NEVER_SHARED: Final = (*_names(Scope.OWN), "API_KEY_FILE", "WEBHOOK_SECRET_FILE")


def _require_usable(config: Config, *, url: str, key: str) -> None:
    if not _HTTP_URL.match(config.api_url):
        raise SettingsError(f"{url} is no http:// or https:// address", setting=url)
    if not config.api_key.isascii():
        raise SettingsError(
            f"{key}: the API key contains characters that are not allowed (non-ASCII)", setting=key
        )


def account_name(config: Config) -> str:
    """Name an account by its API URL and the public part of its key (`SU-…` before the colon)."""
    service_user = config.api_key.removeprefix("ApiKey ").partition(":")[0]
    text = f"{config.api_url.rstrip('/')}|{service_user}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def reading(dotenv: str | None) -> Iterator[Env]:
    """Yield the environment to read, after loading the `.env` file into it if there is one.

    Raises:
        SettingsError: At the end; names every malformed variable that was read.
    """
    env = Env(prefix=PREFIX, eager=False)
    if dotenv is not None and Path(dotenv).is_file():
        _load(dotenv)
    mask_environment()
    yield env
    try:
        env.seal()
    except EnvValidationError as exc:
        messages = cast("Mapping[str, list[str]]", exc.error_messages)
        problems = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in messages.items())
        raise SettingsError(
            f"settings refused: {problems}", setting=next(iter(messages), "")
        ) from None


def mask_environment() -> None:
    """Mask the secrets in the environment from now on, those of each account included.

    Code of the user may quote all of it, for example in an error. A malformed setting is not
    reported here.
    """
    env = Env(prefix=PREFIX, eager=False)
    readers = {
        item.name.upper(): item.metadata[READING].read for item in fields(Settings) if not item.repr
    }
    for end, read in readers.items():
        own = (
            name.removeprefix(PREFIX)
            for name in list(os.environ)
            if name.startswith(PREFIX) and name.endswith(f"_{end}")
        )
        for name in {end, *own}:
            with suppress(SettingsError):
                read(env, name, "")


def _load(dotenv: str) -> None:
    """Load a `.env` file into the environment, which takes precedence."""
    try:
        # Editors on Windows put a mark before the first name.
        load_dotenv(dotenv, encoding="utf-8-sig")
    except ValueError:
        # UTF-16 without a mark decodes, to names with zero bytes in them.
        raise SettingsError(
            f"settings refused: {dotenv} is not UTF-8 text: save it as UTF-8", setting=dotenv
        ) from None


def _refuse_unused(env: Env) -> None:
    """Refuse a key or a restriction that no account would use."""
    for name in NEVER_SHARED:
        if not is_blank(env, name):
            raise SettingsError(
                f"settings refused: {PREFIX}{name} is not used when {PREFIX}ACCOUNTS is set. "
                f"Use {PREFIX}<ACCOUNT>_{name}.",
                setting=f"{PREFIX}{name}",
            )


def read_values(env: Env, own: Callable[[str], str] = str) -> dict[str, Any]:
    """Read the variables of all settings.

    Args:
        env: The environment.
        own: Returns the variable of a setting that accounts may differ in.
    """
    values: dict[str, Any] = {}
    for item in fields(Settings):
        if reading := item.metadata.get(READING):
            name = item.name.upper()
            variable = name if reading.scope is Scope.DEPLOYMENT else own(name)
            values[item.name] = reading.read(env, variable, item.default)
    poll = number(env, own("POLL_SECONDS"), DEFAULT_POLL_SECONDS)
    values["poll_seconds"] = {
        kind: number(env, own(name), poll) for kind, name in POLL_VARIABLES.items()
    }
    if is_blank(env, "BROKER_URL") and is_blank(env, "BROKER_URL_FILE"):
        values["broker_url"] = values["redis_url"]
    return values


#: The settings of a deployment that sets no variable.
DEFAULTS: Final = Settings()
