"""The quick check of documents, compiled from the kinds of a model's Schema.

Running a Schema over every document would cost ten times more than all the rest of loading. So a
document meets this check first, which says only yes or no; a no is put to the Schema, which is the
reference and says what is wrong. A property test proves that the two never differ.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from connect_worker.exceptions import InvalidDocument
from connect_worker.models._document import Document
from connect_worker.models._kinds import Kind, Many, One, refusal
from connect_worker.models._schema import kinds_of, problems

Check = Callable[[Any], bool]
#: The classes whose values fit without a further look, and the look at all others.
Rule = tuple[frozenset[type], Check]
#: The rules of an object, by key.
Rules = dict[str, Rule]

_checks: Final[dict[type[Document], Check]] = {}
_lock: Final = threading.RLock()


def fits(model: type[Document], document: Any) -> bool:
    """Say whether the model's Schema would load a document, which is a dict."""
    return (_checks.get(model) or _compiled(model))(document)


def require_fit(model: type[Document], document: Any, place: str = "") -> None:
    """Raise what the Schema says about a document, if it refuses it.

    Args:
        model: The model to make of it.
        document: Any JSON.
        place: Where it stands in what is being loaded, such as ``[3]``.

    Raises:
        InvalidDocument: The document doesn't fit; the error names the places.
    """
    if not isinstance(document, dict):
        raise InvalidDocument(model.__name__, {place: refusal("an object", document)})
    if fits(model, document):
        return
    errors = problems(model, document, place)
    if errors:  # else there is a dict of some other class in it, which the check does not know
        name = document.get("id")
        label = f"{model.__name__} {name}" if isinstance(name, str) else model.__name__
        raise InvalidDocument(label, errors)


def _compiled(model: type[Document]) -> Check:
    with _lock:
        if model not in _checks:
            # Published when all of them are complete: other threads must not meet an empty one.
            made: dict[type[Document], Check] = {}
            _compile(model, made)
            _checks.update(made)
        return _checks[model]


def _compile(model: type[Document], made: dict[type[Document], Check]) -> Check:
    known = _checks.get(model) or made.get(model)
    if known:
        return known
    # Models refer to each other in circles: the check is there before its rules are.
    rules: Rules = {}
    made[model] = _object_check(rules)
    for name, kind in kinds_of(model).items():
        plain, accepts = _rule(kind, made)
        rules[kind.data_key or name] = plain | {NoneType}, accepts
    return made[model]


def _rule(kind: Kind, made: dict[type[Document], Check]) -> Rule:
    if isinstance(kind, One):
        return frozenset({str} if kind.bare else ()), _compile(kind.model, made)
    if isinstance(kind, Many):
        return frozenset(), _list_check(_rule(kind.of, made))
    return kind.plain, kind.accepts


def _object_check(rules: Rules) -> Check:
    rule_of = rules.get

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return bool(value == "")  # which stands for no object
        for key, item in value.items():
            rule = rule_of(key)
            if rule:  # else the field is unknown, and kept
                plain, accepts = rule
                if item.__class__ not in plain and not accepts(item):
                    return False
        return True

    return check


def _list_check(rule: Rule) -> Check:
    plain, accepts = rule

    def check(value: Any) -> bool:
        if value.__class__ is not list:
            return bool(value == "")  # which stands for no list
        for item in value:  # noqa: SIM110 - all() would cost a generator per list
            if item.__class__ not in plain and not accepts(item):
                return False
        return True

    return check
