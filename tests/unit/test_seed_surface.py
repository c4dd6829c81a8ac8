"""Every public name of the 2019 SDK's reference is there, with its type, signature and default.

`tests/data/seed_surface.json` holds the reference's facts. Where this project says something else
on purpose, it stands in `DIFFERENCES`; what it has beyond the reference, in `LATER`.
"""

import builtins
import importlib
import inspect
import json
import logging
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from connect_worker import config, exceptions, logger, models, resources
from connect_worker.compat import counterparts
from connect_worker.models import BaseModel
from connect_worker.models._model import Alias, Attribute
from connect_worker.rql import Filters

SURFACE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "seed_surface.json").read_text(encoding="utf-8")
)
MODULES = {"config": config, "exceptions": exceptions, "models": models, "resources": resources}
Class = type[Any]

DIFFERENCES = {
    # Connect sends objects, the SDK made models of them, and only its documentation said texts.
    "Param.value_choices": "list[ValueChoice]|None",
    # What is used need not be whole.
    "UsageRecord.quantity": "int|float",
    # More exact than the reference.
    "ServerErrorResponse.params": "dict[str,Any]",
    "BaseModel.json": "dict[str,Any]",
    "BaseModel.deserialize": "Any",
    "BaseModel.deserialize_json": "Self|list[Self]",
    # Later releases of the SDK take none.
    "SubmitUsageFile": "(rejection_note=None)",
}

#: Attributes that Connect has added since, and second names of attributes.
LATER: dict[str, dict[str, str]] = {
    "Anniversary": {"day": "int|None", "month": "int|None"},
    "Asset": {
        "pending_request": "BaseModel|None",
        "renewal_expiration_date": "datetime|None",
        "template": "Template|None",
    },
    "Attributes": {"provider": "Company|None", "vendor": "Company|None"},
    "Billing": {
        "anniversary": "Anniversary|None",
        "next_date": "datetime|None",
        "period": "Period|None",
        "stats": "Stats|None",
    },
    "BillingRequest": {
        "asset": "Asset",
        "attributes": "Attributes|None",
        "events": "Events",
        "items": "list[Item]",
        "period": "Period",
        "type": "str",
    },
    "Commitment": {"count": "int", "multiplier": "str"},
    "Connection": {"created_at": "datetime|None", "status": "str|None"},
    "Constraints": {
        "max_length": "int|None",
        "min_length": "int|None",
        "readonly": "bool",
        "reconciliation": "bool",
    },
    "Conversation": {
        "accounts": "list[Company]",
        "events": "Events",
        "status": "str",
        "type": "str",
    },
    "ConversationMessage": {"account": "Company", "events": "Events", "type": "str"},
    "Events": {"deleted": "Event", "failed": "Event", "pended": "Event"},
    "Fulfillment": {
        "answered": "bool|None",
        "effective_date": "datetime|None",
        "previous_approved_request": "BaseModel|None",
        "template": "Template|None",
    },
    "Item": {"commitment": "Commitment|None", "ui": "UI|None", "unit": "Unit|None"},
    "LastRequest": {"period": "Period|None", "type": "str"},
    "Param": {"reconciliation": "bool|None", "structured_value": "dict[str,Any]|None"},
    "Period": {
        "delta": "int|float|None",
        "from_": "datetime",
        "period_from": "datetime",
        "period_to": "datetime",
        "to": "datetime",
        "uom": "str|None",
    },
    "Product": {"status": "str"},
    "ProductConfigurationParameter": {"structured_value": "dict[str,Any]|None"},
    "RecurringAsset": {
        "billing": "Billing",
        "connection": "Connection",
        "contract": "Contract",
        "events": "Events",
        "external_id": "str",
        "external_uid": "str|None",
        "external_uuid": "str|None",
        "items": "list[Item]",
        "marketplace": "Marketplace",
        "params": "list[Param]",
        "product": "Product",
        "status": "str",
        "tiers": "TierAccounts",
    },
    "Stat": {"count": "int", "last_request": "LastRequest|None"},
    "Stats": {"provider": "Stat|None", "vendor": "Stat|None"},
    "Template": {"scope": "str", "title": "str", "type": "str|None"},
    "TierAccount": {
        "environment": "str|None",
        "events": "Events|None",
        "hub": "Hub|None",
        "marketplace": "Marketplace|None",
        "scopes": "list[str]|None",
        "tax_id": "str|None",
        "version": "int|None",
    },
    "TierAccountRequest": {
        "account": "TierAccount",
        "contact_info": "ContactInfo|None",
        "events": "Events",
        "external_id": "str|None",
        "external_uid": "str|None",
        "product": "Product",
        "provider": "Company",
        "reason": "str|None",
        "status": "str",
        "type": "str",
        "vendor": "Company",
    },
    "TierConfigRequest": {
        "effective_date": "datetime|None",
        "previous_approved_request": "BaseModel|None",
    },
    "UI": {"visibility": "bool"},
    "Unit": {"title": "str", "unit": "str"},
    "UsageFile": {
        "accepted_at": "str|None",
        "accepted_by": "str|None",
        "closed_at": "str|None",
        "closed_by": "str|None",
        "currency": "str|None",
        "environment": "str",
        "error_detail": "str|None",
        "external_id": "str|None",
        "period": "Period|None",
        "period_from": "str|None",
        "period_to": "str|None",
        "reconciliation_file_uri": "str|None",
        "rejected_at": "str|None",
        "rejected_by": "str|None",
        "schema": "str|None",
        "stats": "UsageStats|None",
        "sub_status": "str|None",
        "submitted_at": "str|None",
        "submitted_by": "str|None",
        "uploaded_at": "str|None",
        "uploaded_by": "str|None",
        "usage_file_uri": "str",
    },
    "UsageListing": {"pending_request": "BaseModel|None", "updated": "str|None"},
    "UsageRecord": {
        "amount": "int|float|None",
        "asset_recon_id": "str|None",
        "category_id": "str|None",
        "item_mpn": "str|None",
        "item_name": "str|None",
        "item_npm": "str|None",
        "item_precision": "str|None",
        "item_unit": "str|None",
        "record_id": "str",
        "record_note": "str|None",
        "tier": "str|None",
        "usage_record_note": "str|None",
    },
    "UsageRecords": {"closed": "int"},
    "UsageStats": {
        "accepted": "int",
        "billed": "int",
        "closed": "int",
        "invalid": "int",
        "pending": "int",
        "uploaded": "int",
        "validated": "int",
    },
}
#: Classes that the reference does not have: Connect's newer objects, and a later SDK's name.
LATER_CLASSES = {
    "AssetRequest",
    "Period",
    "UsageStats",
    "Anniversary",
    "Attributes",
    "Billing",
    "BillingRequest",
    "Commitment",
    "LastRequest",
    "RecurringAsset",
    "Stat",
    "Stats",
    "TierAccountRequest",
    "UI",
    "Unit",
}

MODEL_NAMES = [
    name
    for name in sorted({*SURFACE["models"], *LATER_CLASSES})
    if issubclass(getattr(models, name), BaseModel)
]


#: Module, name and facts of every class of the reference.
CLASSES = [(module, name, facts) for module in MODULES for name, facts in SURFACE[module].items()]


def members(*parts: str) -> list[Any]:
    """A parameter set of class, name and facts for each member in these parts of a class."""
    return [
        pytest.param(getattr(MODULES[module], owner), name, said, id=f"{owner}.{name}")
        for module, owner, facts in CLASSES
        for part in parts
        for name, said in facts.get(part, {}).items()
    ]


def notation(hint: Any) -> str:
    """An annotation as the data file writes types."""
    if hint is NoneType:
        return "None"
    origin, inner = get_origin(hint), [notation(item) for item in get_args(hint)]
    if origin in (Union, UnionType):
        return "|".join(inner)
    return f"{origin.__name__}[{','.join(inner)}]" if origin else str(hint.__name__)


def alike(types: str) -> set[str]:
    """The alternatives of a type, whose order means nothing."""
    return set(types.split("|"))


def parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def require_signature(function: Any, said: str) -> None:
    """What the reference lets a caller write must mean the same here."""
    documented = parameters(eval(f"lambda {said[1:-1]}: None"))
    ours = parameters(function)
    named = [p for p in documented if p.kind is not inspect.Parameter.VAR_KEYWORD]

    for expected, found in zip(named, ours, strict=False):
        assert (found.name, found.kind) == (expected.name, expected.kind)
        assert repr(found.default) == repr(expected.default)
    assert len(ours) >= len(named)
    if len(named) < len(documented):
        assert inspect.Parameter.VAR_KEYWORD in {p.kind for p in ours}
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for more in ours[len(named) :]:
        assert more.kind in variable or more.default is not inspect.Parameter.empty


def declared(model: Class) -> dict[str, str]:
    """The attributes that a model declares itself, with their types."""
    own = inspect.get_annotations(model)
    hints = get_type_hints(model)
    kinds = (Attribute, Alias)
    return {n: notation(hints[n]) for n in own if isinstance(vars(model).get(n), kinds)}


def test_the_facts_are_all_there() -> None:
    parts = ("attributes", "properties", "methods", "classmethods", "aliases")

    assert len(CLASSES) == 71
    assert len(members(*parts)) == 333


@pytest.mark.parametrize(("module", "name", "facts"), CLASSES)
def test_a_class_is_where_it_is_documented(module: str, name: str, facts: Any) -> None:
    found = getattr(MODULES[module], name)
    base = facts.get("base", "object")

    assert inspect.isclass(found)
    assert found.__name__ == name
    assert issubclass(found, getattr(MODULES[module], base, None) or getattr(builtins, base))
    assert name in getattr(MODULES[module], "__all__", [name])


@pytest.mark.parametrize(("module", "name", "facts"), CLASSES)
def test_a_class_is_made_as_documented(module: str, name: str, facts: Any) -> None:
    require_signature(getattr(MODULES[module], name), DIFFERENCES.get(name, facts["takes"]))


def test_the_models_are_those_of_the_reference_and_the_listed_ones() -> None:
    assert set(models.__all__) == {*SURFACE["models"], *LATER_CLASSES}
    assert models.AssetRequest is models.Fulfillment


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name != "AssetRequest"])
def test_a_model_declares_the_attributes_of_the_reference_and_the_listed_ones(name: str) -> None:
    said = SURFACE["models"].get(name, {}).get("attributes", {}) | LATER.get(name, {})
    expected = {item: DIFFERENCES.get(f"{name}.{item}", types) for item, types in said.items()}
    found = declared(getattr(models, name))

    assert {n: alike(t) for n, t in found.items()} == {n: alike(t) for n, t in expected.items()}


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_an_attribute_reads_none_until_it_is_given(name: str) -> None:
    model = getattr(models, name)
    value = object()

    for attribute in (*declared(model), "id"):
        assert getattr(model(), attribute) is None
        assert getattr(model.deserialize_json({}), attribute) is None
        assert getattr(model(**{attribute: value}), attribute) is value
        changed = model()
        setattr(changed, attribute, value)
        assert getattr(changed, attribute) is value


def test_errors_have_the_documented_attributes() -> None:
    documented = {
        name: facts["attributes"]
        for name, facts in SURFACE["exceptions"].items()
        if "attributes" in facts
    }
    inquiry = exceptions.InquireRequest("which?", [models.Param(id="email")])

    assert documented == {
        "Message": {"code": "str", "obj": "object"},
        "InquireRequest": {"params": "list[Param]"},
    }
    assert (inquiry.code, inquiry.obj, [p.id for p in inquiry.params]) == (
        "inquire",
        None,
        ["email"],
    )
    assert exceptions.InquireRequest().params == []
    # As class attributes, for errors whose constructor calls no other.
    assert {vars(exceptions.Message)[name] for name in ("code", "obj")} == {None}
    assert exceptions.InquireRequest.params is None


@pytest.mark.parametrize(("owner", "name", "types"), members("properties"))
def test_a_property_is_one(owner: Class, name: str, types: str) -> None:
    found = inspect.getattr_static(owner, name)

    assert isinstance(found, property)
    hint = get_type_hints(found.fget)["return"]
    assert alike(notation(hint)) == alike(DIFFERENCES.get(f"{owner.__name__}.{name}", types))


@pytest.mark.parametrize(("owner", "name", "facts"), members("methods", "classmethods"))
def test_a_method_takes_and_gives_what_is_documented(owner: Class, name: str, facts: Any) -> None:
    is_class_method = isinstance(inspect.getattr_static(owner, name), classmethod)
    method = getattr(owner, name) if is_class_method else getattr(owner, name).__get__(object())

    require_signature(method, facts["takes"])
    hint = get_type_hints(method, localns={**vars(models), "Filters": Filters})["return"]
    expected = DIFFERENCES.get(f"{owner.__name__}.{name}", facts["gives"])
    assert alike(notation(hint)) == alike(expected)


@pytest.mark.parametrize(("owner", "name", "facts"), members("classmethods"))
def test_a_class_method_is_one(owner: Class, name: str, facts: Any) -> None:
    assert isinstance(inspect.getattr_static(owner, name), classmethod)


@pytest.mark.parametrize(("owner", "name", "facts"), members("methods"))
def test_a_method_is_one(owner: Class, name: str, facts: Any) -> None:
    assert inspect.isfunction(inspect.getattr_static(owner, name))


@pytest.mark.parametrize(("owner", "name", "path"), members("aliases"))
def test_an_alias_is_the_class_that_the_reference_names(owner: Class, name: str, path: str) -> None:
    module, _, target = path.rpartition(".")
    named = getattr(importlib.import_module(counterparts()[f"connect.{module}"]), target)

    assert getattr(owner, name) is named is getattr(models, target)


def test_the_logger_is_one() -> None:
    assert SURFACE["logger"] == {"logger": "logging.Logger"}
    assert isinstance(logger.logger, logging.Logger)
