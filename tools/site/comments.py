"""Has the API reference say what this project writes of an attribute: `#:` lines above it."""

from __future__ import annotations

from typing import Any

import griffe


class Comments(griffe.Extension):  # type: ignore[misc]  # griffe is there for `make docs` only
    """Takes the comment above an attribute for its docstring."""

    def on_attribute_instance(self, *, attr: Any, **_: Any) -> None:
        """Give an attribute without a docstring its comment."""
        if attr.docstring is not None or attr.lineno is None:
            return
        lines = attr.lines_collection[attr.filepath]
        first = attr.lineno - 1
        while first and lines[first - 1].strip().startswith("#:"):
            first -= 1
        said = [line.strip().removeprefix("#:").strip() for line in lines[first : attr.lineno - 1]]
        if said:
            attr.docstring = griffe.Docstring("\n".join(said), lineno=first + 1, parent=attr)
