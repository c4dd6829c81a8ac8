"""For any document: what is loaded is dumped again, and the quick check is the Schema's answer."""

import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connect_worker.models import (
    BaseModel,
    BillingRequest,
    Conversation,
    Events,
    Fulfillment,
    RecurringAsset,
    Renewal,
    TierAccountRequest,
    TierConfigRequest,
    UsageFile,
    UsageListing,
    UsageRecord,
)
from connect_worker.models._fields import (
    Boolean,
    DateTime,
    Integer,
    ListOf,
    ModelField,
    Nested,
    Object,
    Quantity,
    Text,
)
from connect_worker.models._model import fields_of, problems
from connect_worker.models.base import fits

MODELS: list[type[BaseModel]] = [
    BillingRequest,
    Conversation,
    Events,
    Fulfillment,
    RecurringAsset,
    Renewal,
    TierAccountRequest,
    TierConfigRequest,
    UsageFile,
    UsageListing,
    UsageRecord,
]

FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
#: Names that no model declares, among them those that would hurt if they were taken for Python's.
unknown_keys = st.text() | st.sampled_from(
    ["json", "_raw", "__class__", "__dict__", "deserialize", "from_", "record_id", "pending", "key"]
)
zones = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))
moments = st.datetimes(timezones=st.none() | zones).map(lambda moment: moment.isoformat())
SCALARS: dict[type[ModelField], st.SearchStrategy[Any]] = {
    Text: st.text() | numbers,
    Boolean: st.booleans() | st.sampled_from(["", "False", "yes", 0, 1.0]),
    Quantity: numbers
    | st.integers(-(10**9), 10**9).map(str)
    | st.sampled_from(["unlimited", "2.50"]),
    Integer: st.integers() | st.integers(0, 10**9).map(str) | st.sampled_from([2.0, "3.0", ""]),
    DateTime: moments | st.sampled_from(["", "2020-01-01", "2020-01-01T10:00:00Z"]),
    Object: st.dictionaries(st.text(), json_values, max_size=3),
}


def values(kind: ModelField, depth: int) -> st.SearchStrategy[Any]:
    """Values that fit a kind."""
    if isinstance(kind, ListOf):
        return st.just("") | st.lists(values(kind.of, depth), max_size=2)
    if isinstance(kind, Nested):
        other = st.text(max_size=3) if kind.bare else st.just("")
        return other | documents(kind.model, depth - 1)
    return SCALARS[type(kind)]


@st.composite
def documents(draw: st.DrawFn, model: Any, depth: int = 3) -> dict[str, Any]:
    """Documents that fit a model: some of its fields, and some that it doesn't know."""
    known = {kind.data_key or name: kind for name, kind in fields_of(model).items()}
    chosen = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=4 if depth else 0))
    found = {key: draw(st.none() | values(known[key], depth)) for key in chosen}
    others = st.dictionaries(
        unknown_keys.filter(lambda key: key not in known), json_values, max_size=2
    )
    return draw(others) | found


@st.composite
def spoilt(draw: st.DrawFn, model: Any) -> dict[str, Any]:
    """Documents in one place of which there is anything."""
    document = draw(documents(model))
    place: Any = document
    while True:
        keys = list(range(len(place))) if isinstance(place, list) else list(place)
        if not keys:
            return document
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(json_values)
            return document
        place = place[key]


def exact(document: object) -> str:
    """A text in which 1, 1.0, "1" and true differ, as they don't for `==`."""
    return json.dumps(document, sort_keys=True)


def touch(value: Any) -> None:
    for item in value if isinstance(value, list) else ():
        touch(item)
    if isinstance(value, BaseModel):
        for name in type(value)._attributes:
            touch(getattr(value, name))


def vars_of(model: BaseModel) -> dict[str, Any]:
    """The model's fields, after those of all models in it were asked for."""
    for value in vars(model).values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                vars_of(item)
    return vars(model)


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.json if isinstance(value, BaseModel) else value


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@FEW
@given(data=st.data())
def test_what_is_loaded_is_dumped_again(model: type[BaseModel], data: st.DataObject) -> None:
    document = data.draw(documents(model))
    before = exact(document)
    loaded = model.deserialize_json(document)

    assert exact(loaded.json) == before
    touch(loaded)
    assert exact(loaded.json) == before

    again = model.deserialize(before)
    assert vars_of(again).keys() <= {*document, *model._attributes}
    assert exact(again.json) == before


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@FEW
@given(data=st.data())
def test_the_schema_loads_the_same(model: type[BaseModel], data: st.DataObject) -> None:
    document = data.draw(documents(model))
    loaded = model.deserialize_json(document)
    by_schema = model.marshmallow_schema().load(document)

    assert exact(model.marshmallow_schema().dump(by_schema)) == exact(document)
    for name, attribute in model._attributes.items():
        raw = document.get(attribute.key_in(document))
        expected = fields_of(model)[name].deserialize(raw)
        assert plain(getattr(loaded, name)) == plain(expected)
        assert type(getattr(loaded, name)) is type(expected)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@FEW
@given(data=st.data())
def test_the_check_says_what_the_schema_says(model: type[BaseModel], data: st.DataObject) -> None:
    document = data.draw(spoilt(model))

    assert fits(model, document) is (not problems(model, document))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@FEW
@given(data=st.data())
def test_what_is_set_is_dumped(model: type[BaseModel], data: st.DataObject) -> None:
    document = data.draw(documents(model))
    name = data.draw(st.sampled_from(sorted(model._attributes)))
    value = data.draw(json_values)
    key = model._attributes[name].key_in(document)
    loaded = model.deserialize_json(json.loads(json.dumps(document)))

    setattr(loaded, name, value)
    dumped = loaded.json

    assert set(dumped) == {*document, key}
    assert getattr(loaded, name) == value
    assert all(exact(dumped[other]) == exact(document[other]) for other in document if other != key)
    # What reads as the value that came is no change: "3" stays "3" where the attribute is set to 3.
    if exact(dumped[key]) != exact(document.get(key, dumped)):
        assert exact(dumped[key]) == exact(value)
