"""A model is declared once, and from that come its Schema and the types that editors see."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, assert_type

import pytest
from marshmallow import Schema

from connect_worker import models
from connect_worker.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    BaseModel,
    Fulfillment,
    Item,
    TierAccount,
    User,
)
from connect_worker.models.base import field


def all_models() -> list[type[BaseModel]]:
    exported = [getattr(models, name) for name in models.__all__]
    return [kind for kind in exported if issubclass(kind, BaseModel)]


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_model_has_an_id_and_a_schema_of_its_own(model: type[BaseModel]) -> None:
    schema = model.marshmallow_schema()

    assert isinstance(schema, Schema)
    assert set(model._attributes) <= set(schema.fields)
    assert model.deserialize_json({"id": "X-1"}).id == "X-1"
    assert isinstance(schema.load({"id": "X-1"}), model)


def test_a_schema_is_made_once_for_all_threads() -> None:
    start = threading.Barrier(16)

    class Fresh(BaseModel):
        name: str = field
        inner: User = field

    def first_use(_: int) -> tuple[int, object]:
        start.wait(timeout=10)
        loaded = Fresh.deserialize_json({"name": "n", "inner": {"name": "m"}})
        return id(Fresh.marshmallow_schema()), loaded.inner.name

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(first_use, range(16)))) == 1


def test_threads_that_read_an_attribute_first_get_the_same_object() -> None:
    for _ in range(50):
        request = Fulfillment.deserialize_json({"asset": {"items": [{"quantity": "1"}]}})
        start = threading.Barrier(4)

        def read(
            _: int, request: Fulfillment = request, start: threading.Barrier = start
        ) -> list[Item]:
            start.wait(timeout=10)
            return request.asset.items

        with ThreadPoolExecutor(4) as pool:
            assert len({id(items) for items in pool.map(read, range(4))}) == 1


def test_a_model_of_ones_own_is_declared_likewise() -> None:
    class VendorTenant(BaseModel):
        seats: int = field
        owner: User | None = field
        tags: list[str] = field
        history: list[Any] = field

    document = {"seats": "3", "owner": {"name": "Ada"}, "tags": ["a", 1], "history": [None, {}]}
    tenant = VendorTenant.deserialize_json(document)

    assert (tenant.seats, tenant.owner and tenant.owner.name) == (3, "Ada")
    assert (tenant.tags, tenant.history) == (["a", "1"], [None, {}])
    assert tenant.json == document
    assert VendorTenant(seats=4).json == {"seats": 4}


def test_an_annotation_that_means_no_field_is_refused_by_name() -> None:
    class Odd(BaseModel):
        value: complex = field

    with pytest.raises(TypeError, match="complex"):
        Odd.deserialize_json({})


def test_type_checkers_see_what_is_declared() -> None:
    request = Fulfillment.deserialize_json(
        {"created": "2020-01-01", "asset": {"items": [{"quantity": "1"}], "tiers": {"tier2": {}}}}
    )

    assert_type(request, Fulfillment)
    assert_type(request.created, datetime)
    assert_type(request.asset.items[0].quantity, int | float)
    assert_type(request.asset.tiers.tier2, TierAccount | None)
    assert_type(Fulfillment.deserialize_json([{}]), list[Fulfillment])
    assert request.asset.items[0].quantity == 1


def test_a_template_response_has_its_id() -> None:
    assert ActivationTemplateResponse("TL-1").template_id == "TL-1"
    assert ActivationTemplateResponse(template_id="TL-1") == ActivationTemplateResponse("TL-1")


@pytest.mark.parametrize(
    ("markdown", "tile"),
    [
        ("# Welcome", "# Welcome"),
        ("", "Activation succeeded"),
        ('"# Quoted\\nby the API"', "# Quoted\nby the API"),
        ('"Quoted" by a person', '"Quoted" by a person'),
        ("123", "123"),
    ],
)
def test_a_tile_response_has_its_contents(markdown: str, tile: str) -> None:
    assert ActivationTileResponse(markdown).tile == tile
    assert vars(ActivationTileResponse(markdown)) == {"tile": tile}


def test_a_tile_response_without_contents_has_the_default() -> None:
    assert ActivationTileResponse(None).tile == ActivationTileResponse().tile


def test_responses_can_be_changed() -> None:
    tile, template = ActivationTileResponse("# Welcome"), ActivationTemplateResponse("TL-1")
    tile.tile, template.template_id = "# Bye", "TL-2"

    assert tile == ActivationTileResponse("# Bye")
    assert template == ActivationTemplateResponse("TL-2")


def test_a_tile_response_can_be_empty() -> None:
    assert ActivationTileResponse().tile == "Activation succeeded"
