"""Checks one HTTP exchange against Connect's own description of its API.

``tests/data/openapi_contract.json`` is distilled from the vendor's OpenAPI file by
``tools/distil_openapi.py``. Where the real API is known to differ from its description, the
difference stands in ``DEVIATIONS`` with the evidence for it; everything else must conform.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

Json = Any

BASE_PATH = "/public/v1"

_CONTRACT = Path(__file__).parents[1] / "data" / "openapi_contract.json"


@dataclass(frozen=True)
class Deviation:
    """A difference between the description and the API that is no fault of an exchange."""

    reason: str
    #: regular expression over the schema word that is violated
    word: str
    #: regular expression over the dotted place in the document
    place: str = ".*"
    #: regular expression over the operation, as ``GET /requests/{id}``
    operation: str = ".*"
    #: decides by the value found there
    value: Callable[[Any], bool] = lambda value: True
    #: regular expression over the validator's message
    message: str = ".*"

    def excuses(self, operation: str, error: ValidationError) -> bool:
        """Whether this error of this operation is the known difference."""
        place = ".".join(str(step) for step in error.absolute_path)
        return bool(
            re.fullmatch(self.word, str(error.validator))
            and re.fullmatch(self.operation, operation)
            and re.fullmatch(self.place, place)
            and re.search(self.message, error.message)
            and self.value(error.instance)
        )


DEVIATIONS = (
    Deviation(
        reason="Any field of a real payload may be null, whatever the description says.",
        word=".*",
        value=lambda value: value is None,
    ),
    Deviation(
        reason="Quantities come as text, numbers or 'unlimited', in requests and assets alike.",
        word="type",
        place=r".*\b(old_)?quantity",
        value=lambda value: isinstance(value, str | int | float),
    ),
    Deviation(
        reason="external_id is shown as the hub sent it, text or number.",
        word="type",
        place=r".*\bexternal_id",
        value=lambda value: isinstance(value, int),
    ),
    Deviation(
        reason="The assignee of a request is a text in the description, an object in payloads.",
        word="type",
        place=r".*\bassignee",
        value=lambda value: isinstance(value, dict),
    ),
    Deviation(
        reason="Usage files show their status in capitals at times (READY in a real payload).",
        word="enum",
        place=r"(\d+\.)?status",
        operation=r".* /usage/files.*",
        value=lambda value: str(value).isupper(),
    ),
    Deviation(
        reason="Described as a list of lists of parameters; real assets hold a flat list.",
        word="type",
        place=r"(\d+\.)?params\.\d+",
        operation=r"GET /assets(/\{id\})?",
        value=lambda value: isinstance(value, dict),
    ),
    Deviation(
        reason="Described as text out of the numbers 1 and 2; real payloads hold the number.",
        word="type",
        place=r".*\btier_level",
        value=lambda value: value in (1, 2),
    ),
    Deviation(
        reason="Real payloads know connections of type preview, which the description leaves out.",
        word="enum",
        place=r".*\bconnection\.type",
        value=lambda value: value == "preview",
    ),
    Deviation(
        reason="Offers and price lists came after the listings of the payloads, which lack them.",
        word="required",
        place=r"(\d+)?",
        operation=r"GET /listings.*",
        message=r"^'(offer|pricelist|alt_pricelist_[12])' is a required",
    ),
    Deviation(
        reason="References to products, vendors and so on are texts only in this answer's "
        "description; the real draft shows the objects of every other answer.",
        word="type",
        place=r"vendor|provider|marketplace|distribution_contract",
        operation="POST /usage/files",
        value=lambda value: isinstance(value, dict),
    ),
    Deviation(
        reason="A PUT of parameters alone is accepted: every SDK sends it without configuration.",
        word="required",
        place="",
        operation=r"PUT /tier/config-requests/\{id\}",
        message="^'configuration' is a required",
    ),
    Deviation(
        reason="Choices of a parameter are texts in the description, label and value in payloads.",
        word="type",
        place=r".*\bvalue_choices\.\d+",
        value=lambda value: isinstance(value, dict) and set(value) == {"label", "value"},
    ),
    Deviation(
        reason="Described as text; the payload of a tier config request holds the parameters.",
        word="type",
        place=r"(\d+\.)?params",
        operation=r"GET /tier/config-requests.*|POST /tier/config-requests/\{id\}/validate",
        value=lambda value: isinstance(value, list),
    ),
    Deviation(
        reason="Service level indicators came after the payloads, which lack them.",
        word="required",
        place=r"(\d+)?",
        operation=r"GET /tier/config-requests.*|POST /tier/config-requests/\{id\}/validate",
        message="^'sli' is a required",
    ),
    Deviation(
        reason="The events of a real usage file name who caused them without an id.",
        word="required",
        place=r"(\d+\.)?events\.\w+\.by",
        operation=r".* /usage/files.*",
        message="^'id' is a required",
    ),
    Deviation(
        reason="A reference to a template that an approval wrote down has no name.",
        word="required",
        place=r".*\btemplate",
        message="^'name' is a required",
    ),
)

#: (operation, status) -> why the status is right though the description lacks it.
STATUS_DEVIATIONS = {
    ("POST /usage/files/{id}/upload", 201): "the API has answered uploads with 200 and with 201",
}

#: Operations that the API has and its description lacks: (success code, reason).
UNDESCRIBED = {
    "GET /templates/{id}/render": (200, "the SDKs render templates with it; the answer is text"),
}

#: Query words that belong to every collection.
_PAGING = frozenset(("limit", "offset", "ordering", "order_by", "search", "select"))
_DJANGO_SUFFIX = re.compile(r"__(in|exact|gte?|lte?|i?contains|is_?null)$")
_RQL_SELECT = re.compile(r"\bselect\(([^()]*)\)")
_RQL_FIELD = re.compile(r"\b(?:eq|ne|gt|ge|lt|le|like|ilike|in|out)\(\s*([A-Za-z][\w.]*)\s*,")

#: What an answer that refuses a call must look like.
_ERROR = {
    "type": "object",
    "required": ["error_code", "errors"],
    "properties": {
        "error_code": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "string"}},
        "params": {"type": "object"},
    },
}


def check_exchange(
    method: str,
    path: str,
    query: str | Mapping[str, str],
    request_json: Json,
    status: int,
    response_json: Json,
) -> list[str]:
    """Everything about an exchange that the description does not allow.

    Args:
        method: the HTTP method.
        path: the path of the call, with or without the base path.
        query: the raw query string, or its parameters.
        request_json: the parsed body of the call; None for no body or a multipart one.
        status: the status of the answer.
        response_json: the parsed body of the answer; None for no body or one that is no JSON.

    Returns:
        One sentence per violation; none when the exchange conforms.
    """
    operation = _find(method, path, _patterns((*described_operations(), *UNDESCRIBED)))
    if operation is None:
        return [f"{method} {path}: the API has no such operation"]
    if operation in UNDESCRIBED:
        expected = UNDESCRIBED[operation][0]
        return [] if status == expected else [f"{operation}: status {status}, not {expected}"]
    described = _contract()[operation]
    found = [*_query_faults(described, query)]
    if status >= 400:
        # A refused call may well be malformed; only the refusal has to be in order.
        found = [*_document_faults(operation, "response", _ERROR, response_json)]
    else:
        found += _request_faults(operation, described, request_json)
        found += _response_faults(operation, described, status, response_json)
    return [f"{operation}: {fault}" for fault in found]


def described_operations() -> tuple[str, ...]:
    """The operations that can be checked, as ``GET /requests/{id}``."""
    return tuple(_contract())


def is_described(method: str, path: str) -> bool:
    """Whether the API has an operation, also one that cannot be checked further."""
    return _find(method, path, _patterns((*_document()["names"], *UNDESCRIBED))) is not None


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_CONTRACT.read_text(encoding="utf-8"))
    return document


@cache
def _contract() -> dict[str, Any]:
    operations: dict[str, Any] = _nullable_types(_document()["operations"])
    return operations


@cache
def _patterns(names: tuple[str, ...]) -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(name))), name)
        for name in sorted(names, key=lambda name: name.count("{"))
    ]


def _find(method: str, path: str, patterns: list[tuple[re.Pattern[str], str]]) -> str | None:
    plain = "/" + path.removeprefix(BASE_PATH).removeprefix("/")
    for pattern, name in patterns:
        if pattern.fullmatch(f"{method.upper()} {plain}"):
            return name
    return None


def _query_faults(described: dict[str, Any], query: str | Mapping[str, str]) -> Iterator[str]:
    known = {name.replace("__", ".") for name in described["query"]} | _PAGING
    text = query if isinstance(query, str) else ""
    for select in _RQL_SELECT.findall(unquote(text)):
        for name in select.split(","):
            plain = name.lstrip("+-")
            if not any(field == plain or field.startswith(f"{plain}.") for field in known):
                yield f"query: there is nothing to select under {name}"
    for name in _filter_names(query):
        stem = _DJANGO_SUFFIX.sub("", name).replace("__", ".")
        if stem not in known:
            yield f"query: there is no parameter {name}"


def _filter_names(query: str | Mapping[str, str]) -> Iterator[str]:
    if not isinstance(query, str):
        yield from query
        return
    for segment in filter(None, query.split("&")):
        text = unquote(segment)
        if re.match(r"[\w.]+\(", text):
            yield from _RQL_FIELD.findall(text)
        else:
            yield text.partition("=")[0]


def _request_faults(operation: str, described: dict[str, Any], body: Json) -> list[str]:
    content = described.get("body") or {}
    if body is None or not content:
        return []
    schema = content.get("application/json")
    if schema is None:
        return [f"request: a JSON body where {', '.join(content)} is expected"]
    return _document_faults(operation, "request", schema, body)


def _response_faults(
    operation: str, described: dict[str, Any], status: int, body: Json
) -> list[str]:
    success = described["success"]
    excused = (operation, status) in STATUS_DEVIATIONS
    if str(status) not in success and not excused:
        return [f"status {status}, not {' or '.join(success)}"]
    content = success.get(str(status)) or next(iter(success.values()))
    if content is None:
        return [] if body is None else ["response: a body where none is expected"]
    schema = content.get("application/json", {})
    return _document_faults(operation, "response", schema, body)


def _document_faults(operation: str, what: str, schema: Json, document: Json) -> list[str]:
    if document is None:
        return [f"{what}: there is no JSON body"]
    errors = Draft202012Validator(schema).iter_errors(document)
    return [
        f"{what}.{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in errors
        if not any(deviation.excuses(operation, error) for deviation in DEVIATIONS)
    ]


def _nullable_types(schema: Json) -> Json:
    """OpenAPI 3.0 writes ``nullable`` where JSON Schema has a type ``null``."""
    if isinstance(schema, list):
        return [_nullable_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {word: _nullable_types(part) for word, part in schema.items()}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        converted["type"] = [schema["type"], "null"]
    return converted
