"""What can be decided about a request: a closed set of values.

A processor returns a response or raises an exception, as with the 2019 SDK. `interpretation` makes
one of these values of it, the ledger stores it as JSON, and `api_calls` says what to post for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any

from connect_worker.domain.states import JSON


@dataclass(frozen=True, slots=True)
class Approve:
    """Approve, with a template's id or with an activation tile: Markdown or a document.

    Examples:
        >>> Approve(template_id="TL-111-222-333")
        Approve(template_id='TL-111-222-333', tile=None)
    """

    template_id: str | None = None
    tile: str | dict[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Inquire:
    """Ask the customer: store the parameters with their errors, then inquire.

    Examples:
        >>> Inquire("An email, please", [{"id": "email", "value_error": "Which one?"}]).message
        'An email, please'
    """

    message: str
    params: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail the request, with the reason that the customer sees.

    Examples:
        >>> Fail("No more of these").reason
        'No more of these'
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave the request pending, process it again later; the message is posted once per cycle.

    Examples:
        >>> Skip("Not yet").message
        'Not yet'
    """

    message: str = ""


@dataclass(frozen=True, slots=True)
class NoDecision:
    """Nothing was decided (a falsy result): post nothing and process the request again later.

    Of a usage report: nothing was submitted, and the period can still be reported.

    Examples:
        >>> NoDecision()
        NoDecision()
    """


@dataclass(frozen=True, slots=True)
class FileAction:
    """Move a usage file: `accept`, `reject`, `submit`, `close` or `delete`, with a body.

    Examples:
        >>> FileAction("submit", {})
        FileAction(action='submit', body={})
    """

    action: str
    body: dict[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A period's usage report is done; the note is what the processor returned.

    Examples:
        >>> Report("reported as UF-1").note
        'reported as UF-1'
    """

    note: str = ""
    #: Whether a usage file was submitted; if not, there was nothing to report.
    is_submitted: bool = True


Outcome = Approve | Inquire | Fail | Skip | NoDecision | FileAction | Report

_TYPES: Mapping[str, type[Outcome]] = {
    "approve": Approve,
    "inquire": Inquire,
    "fail": Fail,
    "skip": Skip,
    "leave": NoDecision,
    "file": FileAction,
    "report": Report,
}
_NAMES: Mapping[type[Any], str] = {cls: name for name, cls in _TYPES.items()}

_FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    "template_id": (str, NoneType),
    "tile": (str, dict, NoneType),
    "message": (str,),
    "params": (list,),
    "reason": (str,),
    "action": (str,),
    "body": (dict, NoneType),
    "note": (str,),
    "is_submitted": (bool,),
}


def to_json(outcome: Outcome) -> dict[str, JSON]:
    """Return the outcome as the document that the ledger stores."""
    return {"outcome": _NAMES[type(outcome)], **asdict(outcome)}


def from_json(document: JSON) -> Outcome:
    """Read a stored outcome; raise ValueError for anything else."""
    if not isinstance(document, dict) or str(document.get("outcome")) not in _TYPES:
        raise ValueError(f"not a stored decision: {str(document)[:80]!r}")
    fields: dict[str, Any] = {name: value for name, value in document.items() if name != "outcome"}
    wrong = [
        name
        for name, value in fields.items()
        if not isinstance(value, _FIELD_TYPES.get(name, object))
    ]
    if not wrong and not all(isinstance(param, dict) for param in fields.get("params", ())):
        wrong = ["params"]
    if wrong:
        raise ValueError(f"a stored decision has another type as its {', '.join(wrong)}")
    try:
        return _TYPES[document["outcome"]](**fields)
    except TypeError as exc:
        raise ValueError(f"a stored decision has unknown fields: {exc}") from exc
