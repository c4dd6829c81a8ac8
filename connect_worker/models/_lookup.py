"""Finding one among the objects of a list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from connect_worker.models.base import BaseModel

M = TypeVar("M", bound=BaseModel)


def first_with(models: Iterable[M] | None, **wanted: object) -> M | None:
    """Give the first model whose attributes have these values, or None; an absent list is empty."""
    for model in models or ():
        if all(getattr(model, name) == value for name, value in wanted.items()):
            return model
    return None
