"""The facts that bite: what Connect sends beside, or against, its own description."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from connect_worker.exceptions import InvalidDocument
from connect_worker.models import (
    Activation,
    Asset,
    BaseModel,
    Company,
    Constraints,
    Event,
    Events,
    ExtIdHub,
    Fulfillment,
    Item,
    Param,
    Renewal,
    TierAccounts,
    TierConfig,
    TierConfigRequest,
    UsageFile,
    UsageRecord,
    User,
)


def exact(document: object) -> str:
    return json.dumps(document)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("100", 100),
        ("100.0", 100),
        ("2.5", 2.5),
        (3, 3),
        (3.0, 3),
        (3.25, 3.25),
        ("unlimited", -1),
        ("-1", -1),
        ("1e3", 1000),
        ("", None),
        (None, None),
    ],
)
def test_a_quantity_is_a_number_however_it_comes(sent: Any, read: Any) -> None:
    item = Item.deserialize_json({"quantity": sent, "old_quantity": sent})

    assert item.quantity == read
    assert type(item.quantity) is type(read)
    assert exact(item.json) == exact({"quantity": sent, "old_quantity": sent})


@pytest.mark.parametrize(
    "sent", [True, [], {}, "many", "1_000", "0x10", "nan", "inf", "1e999", "9" * 5000, "1 000"]
)
def test_what_is_no_quantity_is_refused(sent: Any) -> None:
    with pytest.raises(TypeError, match="Item can't be loaded: quantity: expected a number"):
        Item.deserialize_json({"quantity": sent})


def test_a_quantity_set_to_the_same_number_keeps_its_text() -> None:
    item = Item.deserialize_json({"quantity": "100"})
    item.quantity = 100
    assert item.json == {"quantity": "100"}

    item.quantity = 101
    assert exact(item.json) == exact({"quantity": 101})


@pytest.mark.parametrize(("sent", "read"), [(899, "899"), ("899", "899"), (8.5, "8.5")])
def test_an_external_id_may_be_a_number(sent: Any, read: str) -> None:
    for model in (Asset, ExtIdHub):
        loaded = model.deserialize_json({"external_id": sent})
        assert getattr(loaded, "external_id") == read  # noqa: B009 - of either model
        assert exact(loaded.json) == exact({"external_id": sent})


@pytest.mark.parametrize("model", [Fulfillment, TierConfigRequest])
@pytest.mark.parametrize(
    ("sent", "read"),
    [("", None), (None, None), ("UR-1", "UR-1"), ({"id": "UR-1"}, "UR-1"), ({}, "no id")],
)
def test_an_assignee_may_be_blank_null_an_id_or_an_object(
    model: type[Fulfillment | TierConfigRequest], sent: Any, read: str | None
) -> None:
    request = model.deserialize_json({"assignee": sent})

    assert read == (request.assignee and (request.assignee.id or "no id"))
    assert exact(request.json) == exact({"assignee": sent})


def test_an_assignee_that_came_as_an_id_can_be_changed() -> None:
    request = Fulfillment.deserialize_json({"assignee": "UR-1"})
    assert isinstance(request.assignee, User)
    request.assignee.name = "Ada"

    assert request.json == {"assignee": {"id": "UR-1", "name": "Ada"}}


def test_tier2_may_be_empty_null_or_not_there() -> None:
    empty = TierAccounts.deserialize_json({"tier2": {}})
    assert empty.tier2 is not None
    assert empty.tier2.id is None
    assert empty.json == {"tier2": {}}

    null = TierAccounts.deserialize_json({"tier2": None})
    assert null.tier2 is None
    assert null.json == {"tier2": None}

    none = TierAccounts.deserialize_json({})
    assert none.tier2 is None
    assert none.json == {}


@pytest.mark.parametrize("model", [Fulfillment, TierConfig, TierConfigRequest, Param, Renewal])
def test_any_field_may_be_null(model: type[BaseModel]) -> None:
    document = dict.fromkeys(model._by_key)
    loaded = model.deserialize_json(document)

    assert all(getattr(loaded, name) is None for name in model._attributes)
    assert loaded.json == document


def test_what_is_absent_reads_none_and_stays_absent() -> None:
    request = Fulfillment.deserialize_json({})

    assert [request.id, request.asset, request.created, request.assignee] == [None] * 4
    assert Asset().items is None
    assert request.json == {}


def test_an_unknown_field_is_an_attribute_and_survives() -> None:
    document = {"id": "VA-1", "brand": {"color": "blue", "tags": [1, None]}, "json": 1, "a b": 2}
    company: Any = Company.deserialize_json(document)

    assert company.brand == {"color": "blue", "tags": [1, None]}
    assert getattr(company, "a b") == 2
    assert company.json == document
    with pytest.raises(AttributeError, match="Company has no attribute 'color'"):
        _ = company.color


def test_an_unknown_field_can_be_changed_and_added() -> None:
    company: Any = Company.deserialize_json({"brand": {"color": "blue"}, "size": 1})
    company.brand["color"] = "red"
    company.size = 2
    company.extra = [Param(id="x")]

    assert company.json == {"brand": {"color": "red"}, "size": 2, "extra": [{"id": "x"}]}


def test_a_deleted_attribute_is_absent_again() -> None:
    company: Any = Company.deserialize_json({"name": "n", "size": 1})
    del company.name
    del company.size

    assert company.name is None
    assert company.json == {}
    with pytest.raises(AttributeError, match="nothing"):
        del company.nothing


def test_the_dump_is_a_copy() -> None:
    company: Any = Company.deserialize_json({"brand": {"color": "blue"}})
    company.json["brand"]["color"] = "red"

    assert company.json == {"brand": {"color": "blue"}}


@pytest.mark.parametrize("key", ["pended", "pending"])
def test_pended_and_pending_are_one_event(key: str) -> None:
    document = {key: {"at": "2018-11-21T11:10:29+00:00"}}
    events = Events.deserialize_json(document)

    assert events.pending is events.pended
    assert events.pending.at == datetime(2018, 11, 21, 11, 10, 29)
    assert events.json == document

    events.pending = Event(at=None)
    assert events.pended.at is None
    assert events.json == {key: {"at": None}}


def test_pended_wins_if_both_are_there_and_both_survive() -> None:
    document = {"pending": {"at": None}, "pended": {"at": "2018-11-21T11:10:29Z"}}
    events = Events.deserialize_json(document)

    assert events.pending.at
    assert exact(events.json) == exact(document)


def test_pending_can_be_given_by_either_name() -> None:
    assert Events(pending=Event(id="1")).json == Events(pended=Event(id="1")).json


def test_from_is_renamed() -> None:
    document = {"from": "2017-10-27T00:00:00+00:00", "to": "2017-11-27T00:00:00+00:00"}
    renewal = Renewal.deserialize_json(document)
    assert renewal.from_ == datetime(2017, 10, 27)
    assert renewal.json == document

    moment = datetime(2018, 1, 1, tzinfo=UTC)
    assert Renewal(from_=moment).json == {"from": "2018-01-01T00:00:00+00:00"}
    by_key: Any = {"from": moment}
    assert Renewal(**by_key).from_ == moment
    renewal.from_ = moment
    assert renewal.json == {**document, "from": "2018-01-01T00:00:00+00:00"}


def test_a_usage_record_has_its_id_under_both_names() -> None:
    for record in (
        UsageRecord(record_id="R1", quantity=2.5),
        UsageRecord(usage_record_id="R1", quantity=2.5),
        UsageRecord.deserialize_json({"usage_record_id": "R1", "quantity": "2.5"}),
        UsageRecord.deserialize_json({"record_id": "R1", "quantity": 2.5}),
    ):
        assert record.record_id == record.usage_record_id == "R1"
        assert record.quantity == 2.5
    assert UsageRecord(record_id="R1").json == {"usage_record_id": "R1"}


def test_the_later_sdks_spellings_of_usage_are_second_names() -> None:
    record = UsageRecord.deserialize_json({"item_npm": "M", "usage_record_note": "n", "tier": 1})
    assert (record.item_mpn, record.record_note, record.tier) == ("M", "n", "1")
    assert record.json == {"item_npm": "M", "usage_record_note": "n", "tier": 1}
    assert UsageRecord(item_npm="M", usage_record_note="n").json == {
        "item_mpn": "M",
        "record_note": "n",
    }

    document = {"period": {"from": "2019-10-01", "to": "2019-10-31"}, "stats": {"closed": 3}}
    usage_file = UsageFile.deserialize_json(document)
    assert usage_file.period
    assert usage_file.period.period_from == usage_file.period.from_ == datetime(2019, 10, 1)
    assert usage_file.period.period_to == datetime(2019, 10, 31)
    assert usage_file.stats
    assert usage_file.stats.closed == 3
    assert usage_file.json == document


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-03-07T17:36:11Z", datetime(2019, 3, 7, 17, 36, 11)),
        ("2018-09-03T10:28:18.472670+00:00", datetime(2018, 9, 3, 10, 28, 18, 472670)),
        ("2020-02-29T23:30:00+05:30", datetime(2020, 2, 29, 18)),
        ("2018-12-31T22:28:18-02:00", datetime(2019, 1, 1, 0, 28, 18)),
        ("2018-09-03T10:28:18", datetime(2018, 9, 3, 10, 28, 18)),
        ("2018-09-03", datetime(2018, 9, 3)),
        ("0001-01-01T00:00:00+02:00", datetime(1, 1, 1)),
        ("9999-12-31T23:59:59-02:00", datetime(9999, 12, 31, 23, 59, 59)),
        ("", None),
    ],
)
def test_a_time_reads_in_utc_without_a_zone_and_is_dumped_as_it_came(
    text: str, moment: datetime | None
) -> None:
    activation = Activation.deserialize_json({"date": text})

    assert activation.date == moment
    assert activation.json == {"date": text}


def test_a_naive_time_that_is_set_is_written_as_utc() -> None:
    activation = Activation.deserialize_json({"date": "2020-02-29T23:30:00+05:30"})
    activation.date = datetime(2020, 2, 29, 18)
    assert activation.json == {"date": "2020-02-29T23:30:00+05:30"}

    activation.date = datetime(2020, 3, 1)
    assert activation.json == {"date": "2020-03-01T00:00:00+00:00"}
    assert Activation(date=datetime(2020, 3, 1)).json == activation.json
    assert Activation.deserialize_json(activation.json).date == datetime(2020, 3, 1)

    activation.date = datetime(2020, 3, 1, tzinfo=timezone(timedelta(hours=2)))
    assert activation.json == {"date": "2020-03-01T00:00:00+02:00"}


def spellings(*words: str) -> list[str]:
    return [spelled for word in words for spelled in (word, word.capitalize(), word.upper())]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        *((flag, True) for flag in (True, 1, 1.0, "1")),
        *((word, True) for word in spellings("t", "true", "y", "yes", "on")),
        *((flag, False) for flag in (False, 0, 0.0, "0")),
        *((word, False) for word in spellings("f", "false", "n", "no", "off")),
        ("", None),
        (None, None),
    ],
)
def test_a_flag_may_be_a_number_or_a_word(sent: Any, read: bool | None) -> None:
    constraints = Constraints.deserialize_json({"required": sent})
    assert constraints.required is read
    assert exact(constraints.json) == exact({"required": sent})

    constraints.required = not read
    assert constraints.json == {"required": not read}


def test_choices_may_be_objects_or_values() -> None:
    document = {"choices": ["a", {"label": "B", "value": "b"}]}
    constraints = Constraints.deserialize_json(document)

    assert [choice.value for choice in constraints.choices] == ["a", "b"]
    assert constraints.json == document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"asset": {"items": [{}, {"quantity": []}]}},
         "asset.items[1].quantity: expected a number"),
        ({"asset": "AS-1"}, "asset: expected an object, not this text"),
        ({"asset": {"params": {}}}, "asset.params: expected a list, not an object"),
        ({"asset": {"params": [None]}}, "asset.params[0]: Field may not be null"),
        ({"status": {"is": "x"}}, "status: expected text, not an object"),
        ({"status": True}, "status: expected text, not a boolean"),
        ({"created": "yesterday"}, "created: expected an ISO 8601 date and time"),
        ({"created": 1700000000}, "created: expected an ISO 8601 date and time, not a number"),
        ({"asset": {"configuration": {"params": [{"constraints": {"hidden": "maybe"}}]}}},
         "asset.configuration.params[0].constraints.hidden: expected a boolean"),
        ({"asset": {"params": [{"structured_value": []}]}},
         "asset.params[0].structured_value: expected an object, not a list"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_an_error_with_its_path(document: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Fulfillment.deserialize_json({"id": "PR-1", **document})

    assert message in str(caught.value)
    assert str(caught.value).startswith("Fulfillment PR-1 can't be loaded: ")
    assert isinstance(caught.value, InvalidDocument)
    assert list(caught.value.errors) == [message.partition(": ")[0]]


def test_all_wrong_places_are_named_and_no_value_is_shown() -> None:
    document = {"params": [{"id": "password", "value": ["hunter2"]}, {"type": {}}]}

    with pytest.raises(InvalidDocument) as caught:
        Asset.deserialize_json(document)

    assert list(caught.value.errors) == ["params[0].value", "params[1].type"]
    assert "hunter2" not in str(caught.value)


def test_in_a_list_the_error_names_the_document() -> None:
    with pytest.raises(TypeError, match=r"Item can't be loaded: \[1\]\.quantity: "):
        Item.deserialize_json([{}, {"quantity": "x"}])
    with pytest.raises(TypeError, match=r"Item can't be loaded: \[0\]: expected an object, not a "):
        Item.deserialize_json([[]])


@pytest.mark.parametrize("text", ["", "no json", "7", '"text"', "null"])
def test_a_text_without_an_object_is_a_type_error(text: str) -> None:
    with pytest.raises(TypeError, match="Item can't be loaded: "):
        Item.deserialize(text)


def test_a_model_made_by_code_dumps_what_it_was_given() -> None:
    identity = UUID("7e5b1c90-2f1e-4c55-9d07-3b8f00aa61d2")
    param = Param(
        id="p",
        value=str(identity),
        value_error=None,
        structured_value={"day": date(2020, 1, 2), "price": Decimal("1.10"), "ids": (identity,)},
        constraints=Constraints(required=True),
    )

    assert param.json == {
        "id": "p",
        "value": str(identity),
        "value_error": None,
        "structured_value": {"day": "2020-01-02", "price": "1.10", "ids": [str(identity)]},
        "constraints": {"required": True},
    }
    assert Param.deserialize_json(param.json).json == param.json


def test_its_repr_shows_the_id_and_no_value() -> None:
    assert repr(Param(id="password", value="hunter2")) == "<Param password>"
    assert repr(Param(value="hunter2")) == "<Param>"


def test_a_subclass_of_a_dict_is_as_good_as_a_dict() -> None:
    class Row(dict[str, Any]):
        pass

    request = Fulfillment.deserialize_json(Row(id="PR-1", asset=Row(id="AS-1")))

    assert request.asset.id == "AS-1"
    assert request.json == {"id": "PR-1", "asset": {"id": "AS-1"}}
