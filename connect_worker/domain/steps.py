"""A processor's own steps: their names in the journal of a cycle, and the results it accepts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connect_worker.domain.states import JSON
from connect_worker.exceptions import InvalidStep

#: The prefix of a processor's step in the journal; the engine's own entries have none.
OWN: Final = "step:"
#: The largest result, in characters of JSON: Redis keeps it in memory with each request.
LARGEST: Final = 64 * 1024
LONGEST_NAME: Final = 100
#: A password of at least this length is also found inside longer texts.
WORD: Final = 8


@dataclass(frozen=True, slots=True)
class CompletedStep:
    """One journaled step of the processor."""

    #: From 1, in the order in which they were done.
    number: int
    name: str
    result: JSON


def entry_name(number: int, name: str) -> str:
    """Return the name of a step's entry in the journal: `step:2:create-mailbox`."""
    return f"{OWN}{number}:{name}"


def shown_name(entry: str) -> str:
    """Return the processor's name of a step; other entries keep their name."""
    return entry.split(":", 2)[2] if is_own(entry) else entry


def is_own(entry: str) -> bool:
    """Whether an entry of the journal is a step of the processor."""
    return entry.startswith(OWN)


def own_steps(journal: Mapping[str, JSON]) -> list[CompletedStep]:
    """Return the processor's steps of a journal, in the order in which they were done."""
    steps = []
    for entry, result in journal.items():
        if is_own(entry):
            _, number, name = entry.split(":", 2)
            steps.append(CompletedStep(int(number), name, result))
    return sorted(steps, key=lambda done: done.number)


def step_key(cycle_key: str, name: str) -> str:
    """Return the idempotency key of a cycle's step: it survives retries, crashes and rescues.

    32 hexadecimal characters: a hash of the cycle's key and the step's name.
    """
    return hashlib.sha256(f"{cycle_key}\nstep\n{name}".encode()).hexdigest()[:32]


def require_name(name: object) -> None:
    """Return if this is a valid name of a step.

    Raises:
        InvalidStep: It is not a text, is empty or too long, or has unprintable characters.
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise InvalidStep(
            f"a step's name must be a text of 1 to {LONGEST_NAME} printable characters, not "
            f"{str(name)[:LONGEST_NAME]!r}"
        )


def as_json(name: str, result: object) -> JSON:
    """Return a step's result as a later run gets it: tuples become lists.

    Raises:
        InvalidStep: It is no JSON, or too large.
    """
    try:
        why = _fault(result, "its result")
    except RecursionError:
        why = "its result has too many levels"
    if why:
        raise InvalidStep(
            f"step {name!r} can't be journaled: {why}; return texts, numbers, booleans, None, or "
            "lists and dicts of them"
        )
    text = json.dumps(result)
    if len(text) > LARGEST:
        raise InvalidStep(
            f"step {name!r} can't be journaled: its result has {len(text)} characters as JSON, "
            f"more than {LARGEST}; return an id"
        )
    return json.loads(text)


def _fault(value: object, where: str) -> str:
    """Return why a value is no JSON, without the value itself; "" when it is."""
    match value:
        case None | bool() | str() | int():
            return ""
        case float():
            return "" if math.isfinite(value) else f"{where} is {value}, which is no JSON"
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
            return f"{where} has a key that is a {type(key).__name__}, not a text"
        if why := _fault(item, f"{key[:40]!r} of {where}"):
            return why
    return ""


def require_no_password(name: str, result: JSON, passwords: Iterable[str]) -> None:
    """Return if a result contains no value of a password parameter.

    Raises:
        InvalidStep: It contains one, as a whole text or inside a longer one.
    """
    secrets = {password for password in passwords if password}
    inside = tuple(password for password in secrets if len(password) >= WORD)
    for text in _texts(result):
        if text in secrets or any(password in text for password in inside):
            raise InvalidStep(
                f"step {name!r} can't be journaled: its result holds the value of a password "
                "parameter, and the ledger must not store passwords; return a result without it"
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
