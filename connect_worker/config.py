"""The address of Connect's API, the key, and the products to process.

As in the 2019 SDK, the first `Config` that a program makes becomes the default. A worker that
serves several accounts uses `Config.local` and `use_config` instead, which leave the default alone.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Self

from connect_worker.observability.masking import register_secret

#: What `Config.get_instance` reads if no configuration was made.
DEFAULT_FILE: Final = "config.json"

_PREFIX: Final = "ApiKey "
_in_force: ContextVar[Config | None] = ContextVar("connect_worker_config", default=None)


class Config:
    """The account to work for.

    A file is JSON, as in the 2019 SDK: ``{"apiEndpoint": …, "apiKey": …, "products": […]}``;
    `api_url` and `api_key` work too. An argument overrides the file's entry.

    Args:
        api_url: The API's base, such as ``https://api.connect.cloudblue.com/public/v1``.
        api_key: The service user's key, with or without its ``ApiKey `` prefix.
        products: Ids of the products to process; none means all.
        file: Name of the configuration file.
        filename: The same, as the SDK's first releases called it.

    Raises:
        ValueError: Neither a file nor both URL and key are given.
        TypeError: An entry has the wrong type, or the file holds no JSON object.
        OSError: The file can't be opened.

    Examples:
        >>> url = "https://api.connect.cloudblue.com/public/v1"
        >>> config = Config.local(url, "ApiKey SU-1:key", ["PRD-1"])
        >>> config.products
        ['PRD-1']
    """

    __slots__ = ("_api_key", "_api_url", "_products")

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        products: str | list[str] | None = None,
        file: str | None = None,
        *,
        filename: str | None = None,
    ) -> None:
        if filename:
            warnings.warn("Config's filename is file now", DeprecationWarning, stacklevel=2)
        self._fill(api_url, api_key, products, file or filename)
        _first.offer(self)

    @classmethod
    def local(
        cls,
        api_url: str | None = None,
        api_key: str | None = None,
        products: str | list[str] | None = None,
        file: str | None = None,
    ) -> Self:
        """Make a configuration that never becomes the global one; arguments as the class's."""
        config = cls.__new__(cls)
        config._fill(api_url, api_key, products, file)
        return config

    @classmethod
    def get_instance(cls) -> Config:
        """Give the configuration in force.

        That is the one of the `use_config` block we are in, else the first one made in this
        process, else one made here from ``config.json`` in the working directory.

        Raises:
            ValueError, TypeError, OSError: As the class does for that file.
        """
        return _in_force.get() or _first.get_or_make()

    @property
    def api_url(self) -> str:
        """The API's base. It ends in a slash, so that a path can be joined to it."""
        return self._api_url

    @property
    def api_key(self) -> str:
        """The value of the ``Authorization`` header: ``ApiKey …``."""
        return self._api_key

    @property
    def products(self) -> list[str]:
        """Ids of the products to process; empty means all. A copy."""
        return list(self._products)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._api_url} products={list(self._products)}>"

    def _fill(
        self,
        api_url: str | None,
        api_key: str | None,
        products: str | list[str] | None,
        file: str | None,
    ) -> None:
        if not file and not (api_url and api_key):
            missing = [n for n, v in (("api_url", api_url), ("api_key", api_key)) if not v]
            raise ValueError(f"Config needs a file, or api_url and api_key; without {missing}")
        entries = _read(file) if file else {}
        url = api_url or _entry(entries, "apiEndpoint", "api_url")
        key = api_key or _entry(entries, "apiKey", "api_key")
        for name, value in (("apiEndpoint", url), ("apiKey", key)):
            if not value:
                raise ValueError(f"Config file {file} lacks {name}")
        self._api_url = _text("api_url", url).rstrip("/") + "/"
        self._api_key = _prefixed(_text("api_key", key))
        bare = self._api_key.removeprefix(_PREFIX)
        register_secret(bare, bare.rpartition(":")[2])
        self._products = _product_ids(entries.get("products") if products is None else products)


@contextmanager
def use_config(config: Config) -> Iterator[Config]:
    """Make `Config.get_instance()` give this one inside the with-block, in this thread or task.

    The worker uses it around each job, so that a processor's calls go to the job's account.

    Examples:
        >>> config = Config.local("https://api.connect.cloudblue.com/public/v1", "SU-1:key")
        >>> with use_config(config):
        ...     Config.get_instance() is config
        True
    """
    token = _in_force.set(config)
    try:
        yield config
    finally:
        _in_force.reset(token)


class _First:
    """Remembers the first configuration of a process, however many threads make one at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._config: Config | None = None

    def offer(self, config: Config) -> None:
        with self._lock:
            if self._config is None:
                self._config = config

    def get_or_make(self) -> Config:
        with self._lock:
            if self._config is None:
                self._config = Config.local(file=DEFAULT_FILE)
            return self._config


_first: Final = _First()


def _read(file: str) -> Mapping[str, Any]:
    # Windows editors begin a UTF-8 file with a byte order mark.
    try:
        # Absolute, so that the error of a missing file says where it was looked for.
        entries = json.loads(Path(file).absolute().read_text(encoding="utf-8-sig"))
    except ValueError as exc:  # json's and the decoder's errors are both ValueErrors
        raise TypeError(f"Config file {file} holds no JSON: {exc}") from exc
    if not isinstance(entries, dict):
        raise TypeError(f"Config file {file} must hold a JSON object")
    return entries


def _entry(entries: Mapping[str, Any], *names: str) -> Any:
    return next((entries[name] for name in names if entries.get(name)), None)


def _text(name: str, value: object) -> str:
    """Give a non-blank text; a message about the key must not show it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    text = value.strip()
    if not text or not text.isprintable():
        raise ValueError(f"{name} is blank, or has a line break in it")
    return text


def _prefixed(key: str) -> str:
    has_prefix = key.lower().startswith(_PREFIX.lower())
    return _PREFIX + (key[len(_PREFIX) :].strip() if has_prefix else key)


def _product_ids(products: object) -> tuple[str, ...]:
    if products is None or products == "":
        return ()
    if isinstance(products, str):
        return (products,)
    if isinstance(products, list | tuple) and all(isinstance(name, str) for name in products):
        return tuple(products)
    raise TypeError("products must be a string or a list of strings")
