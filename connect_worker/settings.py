"""The worker's own settings: read once from the environment, frozen, passed in as an argument.

Every setting is an environment variable that starts with `CONNECT_`; a `.env` file in the
working directory may hold them too (the environment wins). A malformed value is refused with the
name of its variable. The table in README.md documents each one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from environs import Env, EnvValidationError
from marshmallow.validate import Range

from connect_worker.config import Config
from connect_worker.exceptions import SettingsError

DEFAULT_REDIS_URL = "redis://localhost:6379/0"

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

    api_url: str = ""
    api_key: str = field(default="", repr=False)
    products: tuple[str, ...] = ()
    #: A `config.json` in the seed's format; the three settings above override what it says.
    config_file: str = ""
    #: Dotted module names or `.py` paths.
    processors: tuple[str, ...] = ()
    redis_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    broker_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    poll_seconds: Mapping[str, float] = field(default_factory=dict)
    sweep_seconds: float = 10.0
    lease_seconds: float = 60.0
    max_attempts: int = 8
    retry_base_seconds: float = 5.0
    retry_max_seconds: float = 900.0
    skip_seconds: float = 300.0
    #: How long one HTTP call may wait for Connect's answer.
    timeout_seconds: float = 30.0
    #: Rows asked for per page of a collection; Connect allows up to 1,000.
    page_size: int = 500
    #: How long the record of a finished request is kept.
    keep_days: float = 7.0

    @classmethod
    def from_env(cls, *, dotenv: str | None = ".env") -> Settings:
        """Read the environment, after loading the `.env` file into it where one exists.

        Raises:
            SettingsError: Naming every malformed variable and what is wrong with it.
        """
        env = Env(prefix="CONNECT_", eager=False)
        if dotenv is not None and Path(dotenv).is_file():
            env.read_env(dotenv, recurse=False)
        values = _read(env)
        try:
            env.seal()
        except EnvValidationError as exc:
            messages = cast("Mapping[str, list[str]]", exc.error_messages)
            problems = "; ".join(f"{name}: {' '.join(said)}" for name, said in messages.items())
            raise SettingsError(f"settings refused: {problems}") from exc
        return cls(**values)

    def config(self) -> Config:
        """Return the account's `Config`, from the variables or from `CONNECT_CONFIG_FILE`.

        Raises:
            SettingsError: When the URL or the key is missing, or the file can't be used.
        """
        base: Config | None = None
        if self.config_file:
            try:
                base = Config.local(file=self.config_file)
            except (OSError, TypeError, ValueError) as exc:
                raise SettingsError(
                    f"CONNECT_CONFIG_FILE: {self.config_file} can't be used: {exc}"
                ) from exc
        url = self.api_url or (base.api_url if base else "")
        key = self.api_key or (base.api_key if base else "")
        missing = [
            name
            for name, value in (("CONNECT_API_URL", url), ("CONNECT_API_KEY", key))
            if not value
        ]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} not set: give your account's API URL (…/public/v1) and "
                "service-user key, or name a config.json in CONNECT_CONFIG_FILE"
            )
        products = list(self.products) or (base.products if base else [])
        return Config.local(api_url=url, api_key=key, products=products)

    @property
    def account(self) -> str:
        """A short name for the account in the ledger's keys, made without its secret."""
        return account_name(self.config())


def account_name(config: Config) -> str:
    """Name an account by its API URL and the public part of its key (`SU-…` before the colon)."""
    service_user = config.api_key.removeprefix("ApiKey ").partition(":")[0]
    text = f"{config.api_url.rstrip('/')}|{service_user}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read(env: Env) -> dict[str, Any]:
    positive = Range(min=0, min_inclusive=False, error="must be more than 0")
    poll = env.float("POLL_SECONDS", 30.0, validate=positive)
    redis_url = env.str("REDIS_URL", DEFAULT_REDIS_URL)
    seconds = {
        kind: env.float(variable, poll, validate=positive)
        for kind, variable in POLL_VARIABLES.items()
    }
    return {
        "api_url": env.str("API_URL", ""),
        "api_key": env.str("API_KEY", ""),
        "products": _names(env, "PRODUCTS"),
        "config_file": env.str("CONFIG_FILE", ""),
        "processors": _names(env, "PROCESSORS"),
        "redis_url": redis_url,
        "broker_url": env.str("BROKER_URL", "") or redis_url,
        "poll_seconds": seconds,
        "sweep_seconds": env.float("SWEEP_SECONDS", 10.0, validate=positive),
        "lease_seconds": env.float("LEASE_SECONDS", 60.0, validate=Range(min=1)),
        "max_attempts": env.int("MAX_ATTEMPTS", 8, validate=Range(min=1)),
        "retry_base_seconds": env.float("RETRY_BASE_SECONDS", 5.0, validate=positive),
        "retry_max_seconds": env.float("RETRY_MAX_SECONDS", 900.0, validate=positive),
        "skip_seconds": env.float("SKIP_SECONDS", 300.0, validate=positive),
        "timeout_seconds": env.float("TIMEOUT_SECONDS", 30.0, validate=positive),
        "page_size": env.int("PAGE_SIZE", 500, validate=Range(min=1, max=1000)),
        "keep_days": env.float("KEEP_DAYS", 7.0, validate=positive),
    }


def _names(env: Env, variable: str) -> tuple[str, ...]:
    listed: list[str] = env.list(variable, [])
    return tuple(name.strip() for name in listed if name.strip())
