"""Shows the `#:` comment above an attribute in the API reference."""

from __future__ import annotations

from typing import Any

import griffe


class Comments(griffe.Extension):  # type: ignore[misc]  # griffe is installed for `make docs` only
    """Uses the comment above an attribute as its docstring."""

    def on_attribute_instance(self, *, attr: Any, **_: Any) -> None:
        """Set the docstring of an attribute that has none from its comment."""
        if attr.docstring is not None or attr.lineno is None:
            return
        lines = attr.lines_collection[attr.filepath]
        first = attr.lineno - 1
        while first and lines[first - 1].strip().startswith("#:"):
            first -= 1
        comment = [
            line.strip().removeprefix("#:").strip() for line in lines[first : attr.lineno - 1]
        ]
        if comment:
            attr.docstring = griffe.Docstring("\n".join(comment), lineno=first + 1, parent=attr)
