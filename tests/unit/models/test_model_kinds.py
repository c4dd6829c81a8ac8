"""One model with a field of every kind, against one value of every sort."""

from datetime import datetime
from typing import Any

import pytest

from connect_worker.models import BaseModel, User, ValueChoice
from connect_worker.models._model import problems
from connect_worker.models.base import alias, field, fits


class Every(BaseModel):
    text: str = field
    renamed: str = alias("re-named", "named")
    whole: int = field
    number: int | float | None = field
    decimal: float = field
    flag: bool = field
    moment: datetime | None = field
    mapped: dict[str, Any] = field
    anything: Any = field
    one: User = field
    bare: User | None = alias(bare="id")
    texts: list[str] = field
    numbers: list[int | float] = field
    many: list[User] = field
    choices: list[ValueChoice] | None = alias(bare="value")
    all: list[Any] = field


SORTS: list[Any] = [
    *(None, True, False, 0, 7, -1, 2.0, 2.5, 1e300, "", " ", "text", "7", "-7", "+7", "7.0", "7.5"),
    *("unlimited", "Unlimited", "true", "7e2", "7e999", "٣", "²", "1_0", "9" * 41, "9" * 5000),
    *("2020-02-30", "2020-02-29", "2020-02-29T10:00:00Z", "2020-02-29T10:00:00+25:00"),
    *({}, {"id": "U"}, {"id": {}}, {"name": None}, {"unknown": object}, {"value": 7}),
    *([], [None], [""], ["a"], [7], [2.5], [True], [{}], [{"id": []}], [[]], ["a", {"value": "b"}]),
]

KEYS = sorted(Every._by_key)


@pytest.mark.parametrize("key", KEYS)
def test_the_check_says_what_the_schema_says(key: str) -> None:
    said = {repr(value)[:40]: fits(Every, {key: value}) for value in SORTS}
    reference = {repr(value)[:40]: not problems(Every, {key: value}) for value in SORTS}

    assert said == reference
    # Except for what takes everything, the sorts must tell the kinds apart.
    assert key == "anything" or set(said.values()) == {True, False}


@pytest.mark.parametrize("key", KEYS)
def test_what_fits_can_be_read_and_is_dumped_as_it_came(key: str) -> None:
    name = Every._by_key[key].name
    for value in SORTS:
        if value != {"unknown": object} and fits(Every, {key: value}):
            model = Every.deserialize_json({key: value})
            read = getattr(model, name)
            assert repr(model.json) == repr({key: value})
            assert getattr(model, name) is read or name in {"id", "text", "renamed"}


@pytest.mark.parametrize("key", KEYS)
def test_none_and_blank_read_as_documented(key: str) -> None:
    name = Every._by_key[key].name

    assert getattr(Every.deserialize_json({key: None}), name) is None
    if name not in {"id", "text", "renamed", "anything"}:
        assert getattr(Every.deserialize_json({key: ""}), name) is None
