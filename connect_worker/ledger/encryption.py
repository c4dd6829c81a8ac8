"""Encryption of what a record stores of others: decisions, results of steps, errors.

With a key, these values are encrypted with Fernet (AES-128-CBC with an HMAC-SHA256), of the package
`cryptography`: they may come from customers or from a vendor's system. An encrypted value is bound
to its place: account, request, cycle and field. So a person who can write to Redis can neither make
a decision, nor have one posted to another request. See docs/decisions/012.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from connect_worker.domain.states import JSON, RequestKey
from connect_worker.exceptions import CorruptRecord, DecryptionKeyMissing, SettingsError
from connect_worker.settings.environment import PLAIN_KEY

#: Put before the name of a step, so that steps can't collide with the other fields.
STEP_FIELD: Final = "j:"
#: An encrypted value begins with this; no JSON text does.
ENCRYPTED_PREFIX: Final = "fernet:"
#: Shown in place of a value that can't be decrypted here.
HIDDEN: Final = "encrypted"
#: Shown in place of a corrupt decision or result.
CORRUPT: Final = "corrupt"
#: How many bytes of the digest of its place an encrypted value begins with.
_PLACE_BYTES: Final = 16


class Cipher(Protocol):
    """Encrypts values before they are stored, and decrypts stored ones."""

    def encrypt(self, text: str, *place: str) -> str:
        """Return what is stored for a text at its place: request, cycle and field."""

    def decrypt(self, stored: str, *place: str) -> str:
        """Return the text of a value that is stored at this place.

        Raises:
            DecryptionKeyMissing: It is encrypted with a key that is not here.
            CorruptRecord: No worker has stored it at this place.
        """


class NullCipher:
    """Without a key: values are stored as they are."""

    def encrypt(self, text: str, *place: str) -> str:  # noqa: ARG002 - of encrypted values
        """Return the text."""
        return text

    def decrypt(self, stored: str, *place: str) -> str:  # noqa: ARG002 - of encrypted values
        """Return the text; refuse a value that another process encrypted."""
        if stored.startswith(ENCRYPTED_PREFIX):
            raise DecryptionKeyMissing(
                "it is encrypted, and CONNECT_ENCRYPTION_KEY is not set here"
            )
        return stored


class FernetCipher:
    """With keys: the first one encrypts, each of them decrypts.

    `plain` in place of a key stands for values without encryption: they are read, and written if it
    comes first. Without it a plain value is corrupt.

    Args:
        keys: Fernet keys, or `plain`.
        account: Part of the place to which each value is bound.

    Raises:
        SettingsError: A key is invalid, or the package is not installed.
    """

    def __init__(self, keys: Sequence[str], *, account: str) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        except ImportError:
            raise SettingsError(
                "CONNECT_ENCRYPTION_KEY needs another package: pip install cryptography",
                setting="CONNECT_ENCRYPTION_KEY",
            ) from None
        self._fernet = MultiFernet([Fernet(key) for key in keys if key != PLAIN_KEY])
        self._invalid_token = InvalidToken
        self._reads_plain, self._writes_plain = PLAIN_KEY in keys, keys[0] == PLAIN_KEY
        self._account = account

    def encrypt(self, text: str, *place: str) -> str:
        """Return the text encrypted with the first key, and bound to its place."""
        if self._writes_plain:
            return text
        content = self._digest(place) + text.encode("utf-8", "backslashreplace")
        return ENCRYPTED_PREFIX + self._fernet.encrypt(content).decode()

    def decrypt(self, stored: str, *place: str) -> str:
        """Return the text, decrypted with the key that fits."""
        if not stored.startswith(ENCRYPTED_PREFIX):
            if self._reads_plain:
                return stored
            raise CorruptRecord(
                "is not encrypted: it was stored before CONNECT_ENCRYPTION_KEY was set, or by no "
                "worker"
            )
        token = stored.removeprefix(ENCRYPTED_PREFIX)
        try:
            content = self._fernet.decrypt(token)
        except (self._invalid_token, ValueError):
            # A ValueError is for characters that no token has.
            if not _is_token(token):
                raise CorruptRecord("is cut off or damaged") from None
            raise DecryptionKeyMissing(
                "it is encrypted, and no key in CONNECT_ENCRYPTION_KEY opens it"
            ) from None
        if content[:_PLACE_BYTES] != self._digest(place):
            raise CorruptRecord("was stored for another request, cycle or field, and copied")
        return content[_PLACE_BYTES:].decode()

    def _digest(self, place: tuple[str, ...]) -> bytes:
        return sha256(json.dumps([self._account, *place]).encode()).digest()[:_PLACE_BYTES]


def _is_token(text: str) -> bool:
    """Whether a text has the form of Fernet's tokens, whatever their key.

    A version, a time and an IV, blocks of 16 bytes, an HMAC: https://github.com/fernet/spec.
    """
    try:
        token = urlsafe_b64decode(text)
    except ValueError:
        return False
    return token[:1] == b"\x80" and len(token) >= 73 and (len(token) - 57) % 16 == 0


def cipher_for(keys: Sequence[str], *, account: str) -> Cipher:
    """Return the cipher of a process with these keys."""
    return FernetCipher(keys, account=account) if keys else NullCipher()


@dataclass(slots=True)
class RecordValues:
    """What a record stores of others: its decision, the results of steps, the last error."""

    decision: JSON = None
    steps: dict[str, JSON] = field(default_factory=dict)
    error: str = ""
    #: Why something is encrypted with a key that is missing here; "" when nothing is.
    decrypt_error: str = ""
    #: By field, what is wrong with a corrupt value.
    faults: dict[str, str] = field(default_factory=dict)

    def fault(self) -> str:
        """Return the first fault, for people; "" without one."""
        for name, why in self.faults.items():
            step = name.removeprefix(STEP_FIELD)
            return f"{'the stored decision' if name == 'd' else f'the result of {step}'} {why}"
        return ""


def read_values(ref: RequestKey, stored: Mapping[str, str], cipher: Cipher) -> RecordValues:
    """Decrypt and read the values of a record."""
    values = RecordValues()
    for name, value in stored.items():
        if name == "d":
            values.decision = _read_json(ref, stored, name, cipher, values)
        elif name.startswith(STEP_FIELD):
            step = name.removeprefix(STEP_FIELD)
            values.steps[step] = _read_json(ref, stored, name, cipher, values)
        elif name == "e":
            values.error = _read_error(ref, stored, value, cipher, values)
    return values


def _read_json(
    ref: RequestKey, stored: Mapping[str, str], name: str, cipher: Cipher, values: RecordValues
) -> JSON:
    try:
        return json.loads(cipher.decrypt(stored[name], str(ref), stored.get("v", ""), name))
    except DecryptionKeyMissing as error:
        values.decrypt_error = str(error)
        return HIDDEN
    except CorruptRecord as error:
        values.faults[name] = str(error)
    except (ValueError, RecursionError):
        values.faults[name] = "is no JSON"
    return CORRUPT


def _read_error(
    ref: RequestKey, stored: Mapping[str, str], error: str, cipher: Cipher, values: RecordValues
) -> str:
    """Return the last error; the scripts write some errors themselves, without encryption."""
    if not error.startswith(ENCRYPTED_PREFIX):
        return error
    try:
        return cipher.decrypt(error, str(ref), stored.get("v", ""), "e")
    except DecryptionKeyMissing as missing:
        values.decrypt_error = str(missing)
        return HIDDEN
    except CorruptRecord:
        return CORRUPT
