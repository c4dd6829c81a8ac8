"""A processor's own steps: how the journal of a cycle names them, and what it takes of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connect_worker.domain.states import JSON
from connect_worker.exceptions import InvalidStep

#: Before the number and the name of a processor's step; the engine's own entries have none.
OWN: Final = "step:"
#: A result is kept with each request, in Redis' memory: an id has room, a catalog has not.
LARGEST: Final = 64 * 1024
LONGEST_NAME: Final = 100
#: A longer password is found inside of other texts; a shorter one would be found by chance.
WORD: Final = 8


@dataclass(frozen=True, slots=True)
class CompletedStep:
    """One step of the processor's that is journaled."""

    #: From 1, in the order in which they were done.
    number: int
    name: str
    result: JSON


def entry_name(number: int, name: str) -> str:
    """Return the name of a step's entry in the journal: `step:2:create-mailbox`."""
    return f"{OWN}{number}:{name}"


def shown_name(entry: str) -> str:
    """Return the processor's own name for an entry; of the engine's entries the name as it is."""
    return entry.split(":", 2)[2] if is_own(entry) else entry


def is_own(entry: str) -> bool:
    """Whether an entry of the journal is a step of the processor's."""
    return entry.startswith(OWN)


def own_steps(journal: Mapping[str, JSON]) -> list[CompletedStep]:
    """Return the processor's steps of a journal, in the order in which they were done."""
    found = []
    for entry, result in journal.items():
        if is_own(entry):
            _, number, name = entry.split(":", 2)
            found.append(CompletedStep(int(number), name, result))
    return sorted(found, key=lambda done: done.number)


def step_key(cycle_key: str, name: str) -> str:
    """Return the idempotency key of a cycle's step: the same over every retry, crash and rescue.

    32 hexadecimal characters: a hash of the cycle's key and the step's name.
    """
    return hashlib.sha256(f"{cycle_key}\nstep\n{name}".encode()).hexdigest()[:32]


def require_name(name: object) -> None:
    """Return if a step may be called so.

    Raises:
        InvalidStep: It is no text, has none or too many characters, or some that can't be shown.
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise InvalidStep(
            f"a step's name is a text of 1 to {LONGEST_NAME} printable characters, not "
            f"{str(name)[:LONGEST_NAME]!r}"
        )


def as_json(name: str, result: object) -> JSON:
    """Return a step's result as a rerun will have it: tuples have become lists.

    Raises:
        InvalidStep: It is no JSON, or too large.
    """
    if why := _fault(result, "its result"):
        raise InvalidStep(
            f"step {name!r} can't be journaled: {why}; have it return texts, numbers, true or "
            "false, None, and lists and dicts of them"
        )
    text = json.dumps(result)
    if len(text) > LARGEST:
        raise InvalidStep(
            f"step {name!r} can't be journaled: its result has {len(text)} characters as JSON, "
            f"{LARGEST} at most are kept; have it return an id"
        )
    return json.loads(text)


def _fault(value: object, where: str) -> str:
    """Return why a value is no JSON, without the value itself; "" when it is."""
    match value:
        case None | bool() | str() | int():
            return ""
        case float():
            return "" if math.isfinite(value) else f"{where} is {value}, which JSON has not"
        case list() | tuple():
            faults = (_fault(item, f"item {at} of {where}") for at, item in enumerate(value))
            return next(filter(None, faults), "")
        case dict():
            return _fault_of_dict(value, where)
        case _:
            return f"{where} is a {type(value).__name__}, which is no JSON"


def _fault_of_dict(value: dict[object, object], where: str) -> str:
    for key, item in value.items():
        if not isinstance(key, str):
            return f"{where} has a key that is a {type(key).__name__}, and JSON's are texts"
        if why := _fault(item, f"{key[:40]!r} of {where}"):
            return why
    return ""


def require_no_password(name: str, result: JSON, passwords: Iterable[str]) -> None:
    """Return if a result holds no value of a password parameter.

    Raises:
        InvalidStep: It does, as a text of its own or inside a longer one.
    """
    secrets = {password for password in passwords if password}
    inside = tuple(password for password in secrets if len(password) >= WORD)
    for text in _texts(result):
        if text in secrets or any(password in text for password in inside):
            raise InvalidStep(
                f"step {name!r} can't be journaled: its result holds the value of a password "
                "parameter, and the ledger keeps no passwords; have it return the rest"
            )


def _texts(value: JSON) -> Iterable[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
