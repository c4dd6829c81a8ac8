"""The address of Connect's API, the key, and the products to process.

As in the 2019 SDK, the first `Config` that a program makes becomes the default. A worker uses
`Config.local` and `use_config` for the accounts of its settings. They leave the default alone, but
a `Config` that a module of processors made for the same account, perhaps a subclass with properties
of its own, stands for it.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

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

    #: Whether the vendor's code made it, and not a worker.
    _is_made = False

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
        self._is_made = True
        _made.add(self)

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

        If the account in force is a worker's, it is the first one that was made with the same URL
        and key. Its products are then those of the worker's settings.

        Raises:
            ValueError, TypeError, OSError: As the class does for that file.
        """
        config = _in_force.get()
        if config is None:
            return _made.first_or_default()
        made = None if config._is_made else _made.of_account(config)
        if made is None:
            return config
        made._products = config._products
        return made

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

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say where an attribute may be that a vendor's class has, and this object has not."""
            if name.startswith("_") or hasattr(type(self), name):
                # A property of the class raised it: here it raises it again.
                return object.__getattribute__(self, name)
            has, hint = f"{type(self).__name__!r} object has no attribute {name!r}", ""
            for other in _made.others(self):
                if name in vars(other) or hasattr(type(other), name):
                    hint = (
                        f". The {type(other).__name__} of {other.api_url} has one, but is not for "
                        f"the account in force, {self.api_url}: make one for each account, with "
                        "the URL and the key of its settings"
                    )
            raise AttributeError(has + hint, name=name, obj=self)

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


class _Made:
    """Remembers the first configuration of each account, however many threads make one at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.first: Config | None = None
        self._by_account: dict[tuple[str, str], Config] = {}

    def add(self, config: Config) -> None:
        with self._lock:
            self.first = self.first or config
            self._by_account.setdefault((config._api_url, config._api_key), config)

    def of_account(self, config: Config) -> Config | None:
        return self._by_account.get((config._api_url, config._api_key))

    def others(self, config: Config) -> list[Config]:
        with self._lock:
            return [other for other in self._by_account.values() if other is not config]

    def first_or_default(self) -> Config:
        with self._lock:
            if self.first is None:
                self.first = Config.local(file=DEFAULT_FILE)
            return self.first


_made: Final = _Made()


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
