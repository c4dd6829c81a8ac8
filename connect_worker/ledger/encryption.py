"""What of a record customers or a vendor's system may have written, kept unreadable for others.

Fernet (AES-128-CBC with an HMAC-SHA256), of the package `cryptography`. It keeps the values secret
from who can read the ledger; who can write to it decides what is posted anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from connect_worker.exceptions import DecryptionKeyMissing, SettingsError

#: An encrypted value begins so; no JSON text does.
MARK: Final = "fernet:"
#: What is told instead of a value that can't be read here.
HIDDEN: Final = "encrypted"
#: Put before the name of a step, so that steps can't collide with the other fields.
STEP: Final = "j:"
#: And before it, of the time at which it was done.
STEP_TIME: Final = "i:"


class Cipher(Protocol):
    """Seals values before they are stored, and opens stored ones."""

    def seal(self, text: str) -> str:
        """Return what is stored of a text."""

    def open(self, stored: str) -> str:
        """Return the text of what is stored.

        Raises:
            DecryptionKeyMissing: It is encrypted with a key that is not here.
        """


class Plain:
    """Without a key: values are stored as they are."""

    def seal(self, text: str) -> str:
        """Return the text."""
        return text

    def open(self, stored: str) -> str:
        """Return the text, unless somebody else had a key."""
        if stored.startswith(MARK):
            raise DecryptionKeyMissing(
                "it is encrypted, and CONNECT_ENCRYPTION_KEY is not set here"
            )
        return stored


class Sealed:
    """With keys: the first one seals, each of them opens; what was stored without one stays so.

    Raises:
        SettingsError: A key is none, or the package is not installed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        except ImportError:
            raise SettingsError(
                "CONNECT_ENCRYPTION_KEY needs another package: pip install cryptography",
                setting="CONNECT_ENCRYPTION_KEY",
            ) from None
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._is_not_ours = InvalidToken

    def seal(self, text: str) -> str:
        """Return the text encrypted with the first key."""
        return MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, stored: str) -> str:
        """Return the text, whichever of the keys it was encrypted with, if any."""
        if not stored.startswith(MARK):
            return stored
        try:
            return self._fernet.decrypt(stored.removeprefix(MARK)).decode()
        except self._is_not_ours:
            raise DecryptionKeyMissing(
                "it is encrypted, and no key in CONNECT_ENCRYPTION_KEY opens it"
            ) from None


def cipher_for(keys: Sequence[str]) -> Cipher:
    """Return the cipher of a process with these keys."""
    return Sealed(keys) if keys else Plain()


def opened(fields: Mapping[str, str], cipher: Cipher) -> tuple[Mapping[str, str], str]:
    """Open the fields of a record; give them, and why some can't be read ("" when all can)."""
    sealed = [name for name, value in fields.items() if value.startswith(MARK) and _is_secret(name)]
    if not sealed:
        return fields, ""
    clear, why = dict(fields), ""
    for name in sealed:
        try:
            clear[name] = cipher.open(fields[name])
        except DecryptionKeyMissing as error:
            # Decisions and results are JSON, an error is a text.
            clear[name], why = HIDDEN if name == "e" else f'"{HIDDEN}"', str(error)
    return clear, why


def _is_secret(name: str) -> bool:
    return name in ("d", "e") or name.startswith(STEP)
