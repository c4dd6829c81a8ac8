"""The options by which a command is told which requests it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from connect_worker.domain.states import FINAL_STATES, RequestKind, State
from connect_worker.operations.filters import OPEN_STATES

F = TypeVar("F", bound=Callable[..., Any])

#: Words for several states at once.
GROUPS = {"open": OPEN_STATES, "ended": FINAL_STATES, "all": frozenset(State)}

KIND = click.Choice([kind.value for kind in RequestKind])
STATE = click.Choice([*GROUPS, *(state.value for state in State)])


def states_of(words: tuple[str, ...]) -> frozenset[State]:
    """Return the states that words such as `parked` or `open` mean."""
    chosen = (GROUPS.get(word) or frozenset({State(word)}) for word in words)
    return frozenset().union(*chosen) if words else OPEN_STATES


def filters(command: F) -> F:
    """Give a command the options that choose requests by what they have in common."""
    for option in reversed(
        (
            click.option("--kind", type=KIND, help="Only requests of this kind."),
            click.option("--product", default="", metavar="PRD-…", help="Only of this product."),
            click.option("--error", default="", metavar="TEXT", help="Only with this error text."),
        )
    ):
        command = option(command)
    return command
