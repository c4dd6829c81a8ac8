"""Which messages are taken: one argument of the one right form, and nothing besides.

Who can write to the broker can send anything. What none of this project's processes sends is
refused before it has any effect: JSON alone is read (`celeryconfig.py`), and of that only these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from connect_worker.processing.names import is_name
from connect_worker.processing.notices import is_notice
from connect_worker.processing.states import Kind

#: Tells whether a text is one that the task takes.
Takes = Callable[[object], bool]

#: What a message may carry for Celery to send when its task ends: other messages.
FOLLOWERS = ("callbacks", "errbacks", "chain", "chord")


class MessageRefused(Exception):  # noqa: N818 - as the project's other errors are named
    """A message that nobody of this project has sent."""


def takes_name_of(kind: Kind) -> Takes:
    """Take the name of one request of the kind."""
    return partial(is_name, kind)


def takes_kind(text: object) -> bool:
    """Take the name of a kind."""
    return isinstance(text, str) and text in set(Kind)


def takes_notice(text: object) -> bool:
    """Take a notice: a kind, or a kind and a request's id in Connect."""
    return is_notice(text)


def problem(args: Sequence[Any], kwargs: Mapping[str, Any], takes: Takes | None) -> str:
    """Return why a task does not take these arguments; "" when it does."""
    if kwargs or len(args) != (0 if takes is None else 1):
        return f"{len(args)} arguments and {len(kwargs)} named ones"
    if takes is not None and not takes(args[0]):
        return f"{str(args[0])[:80]!r} ({type(args[0]).__name__}) is no name that it takes"
    return ""
