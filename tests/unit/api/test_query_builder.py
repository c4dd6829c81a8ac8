"""Filters put together step by step; the sandbox, which shares no code, reads them back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.config import Config
from connect_worker.resources import Directory, FulfillmentAutomation
from connect_worker.rql import Query, statuses_of, to_query
from connect_worker.sandbox import rql
from connect_worker.sandbox.rql import Comparison, Constant, Membership
from tests.support.sandbox_server import API_KEY, Client

from .test_queries import on_the_wire

TEXTS = st.text('aB1 "\\&=;|,*%+#?/:@.-_äß漢', min_size=1, max_size=12)


def read(query: Query) -> rql.Query:
    return rql.parse(on_the_wire(to_query(query)), lambda name: name)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (Query(), ""),
        (Query({}), ""),
        (Query().equal("status", "pending"), "?eq(status,pending)"),
        (Query().equal("a", 1).equal("a", 2), "?eq(a,1)&eq(a,2)"),
        (Query().equal("a", ["x", "y"]), "?in(a,(x,y))"),
        (Query().not_equal("a", "x").greater("b", 1), "?ne(a,x)&gt(b,1)"),
        (Query().greater_equal("a", 1).lesser("b", 2), "?ge(a,1)&lt(b,2)"),
        (Query().lesser_equal("a", 1), "?le(a,1)"),
        (Query().equal("tier2", None).not_equal("a", "empty()"), "?eq(tier2,null())&ne(a,empty())"),
        (Query().equal("name", "a b, (c)"), "?eq(name,'a%20b%2C%20%28c%29')"),
        (Query().in_("id", ["A"]).in_("id", ["B", "C"]), "?in(id,(B,C))"),
        (Query().out("id", ("A", "B")), "?out(id,(A,B))"),
        (Query().like("name", "a*").ilike("name", "*b*"), "?like(name,a*)&ilike(name,*b*)"),
        (Query().select(["a", "-b.c"]), "?select(a,-b.c)"),
        (Query().ordering(["-created", "id"]), "?ordering(-created,id)"),
        (Query().order_by("-created"), "?ordering(-created)"),
        (Query().limit(10).offset(20), "?limit=10&offset=20"),
        (
            Query().offset(2).limit(1).ordering(["b"]).equal("a", 1).out("a", [2]).in_("a", [3])
            .like("a", "5").select(["a"]),
            "?select(a)&like(a,5)&in(a,(3))&out(a,(2))&eq(a,1)&ordering(b)&limit=1&offset=2",
        ),
        (Query({"status": "pending", "id": ["A", "B"]}), "?eq(status,pending)&in(id,(A,B))"),
        (Query({"asset__product__id__in": "A,B", "x": None}), "?in(asset.product.id,(A,B))"),
        (Query({"limit": 5, "ordering": ["a"], "select": ["b"]}), "?select(b)&ordering(a)&limit=5"),
        (Query({"in": {"id": ["A"]}, "like": {"n": "a*"}}), "?like(n,a*)&in(id,(A))"),
        (Query({"in": "text"}), "?eq(in,text)"),
    ],
)  # fmt: skip
def test_a_query_is_this_text(query: Query, text: str) -> None:
    assert query.compile() == str(query) == text
    assert to_query(query) == text.removeprefix("?")


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_is_asked_is_read_back(value: str, values: list[str]) -> None:
    query = Query().in_("id", values).out("b", values).equal("c", value).not_equal("d", value)
    query.greater("e", value).greater_equal("f", value).lesser("g", value).lesser_equal("h", value)
    compared = zip(("eq", "ne", "gt", "ge", "lt", "le"), "cdefgh", strict=True)
    assert read(query.ordering(["-x", "y"]).limit(9)) == rql.Query(
        rql.And(
            (
                Membership("id", tuple(values)),
                Membership("b", tuple(values), negated=True),
                *(Comparison(operator, name, value) for operator, name in compared),
            )
        ),
        ordering=(("x", True), ("y", False)),
        limit=9,
    )


def test_nothing_and_an_encoded_star_are_read_as_they_are_meant() -> None:
    query = Query().equal("a", None).like("name", "50%2A*").select(["a", "b"])
    assert set(read(query).where.terms) == {
        Comparison("eq", "a", Constant.NULL),
        Comparison("like", "name", r"50\**"),
    }


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Query().in_("id", []),
        lambda: Query({"id": []}),
        lambda: Query().equal("name", """both ' and " """),
        lambda: Query().limit("many"),  # type: ignore[arg-type]  # a text from a settings file
    ],
)
def test_what_cannot_be_asked_is_refused_where_it_is_said(ask: Any) -> None:
    with pytest.raises(ValueError, match=r"empty list|looked for|invalid literal"):
        ask()


def test_a_copy_is_apart_from_its_original_and_a_pickled_one_is_equal() -> None:
    original = Query().equal("a", 1).in_("b", ["x"]).limit(3)
    text = original.compile()
    copy.copy(original).equal("c", 2).in_("b", ["y"]).limit(4)
    assert original.compile() == pickle.loads(pickle.dumps(original)).compile() == text
    assert repr(original) == f"<Query {text}>"


def test_it_tells_what_it_is_about() -> None:
    query = Query().in_("product.id", ["A"]).equal("status", "x").ordering(["id"])
    asked = [
        name for name in ("product.id", "status", "product", "id", "x") if query.asks_for(name)
    ]
    assert asked == ["product.id", "status"]
    assert statuses_of(query) == {"x"}


def test_an_automations_filters_may_be_a_query() -> None:
    class Mine(FulfillmentAutomation):
        def filters(self, status: Any = None, **kwargs: Any) -> Any:
            return Query(super().filters(status, **kwargs)).not_equal("type", "cancel")

    config = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test", ["PRD-1"])
    expected = "eq(status,pending)&in(asset.product.id,(PRD-1))&ne(type,cancel)&ordering(created)"
    assert Mine(config).query() == expected


def test_the_sandbox_gives_what_a_query_asks_for(shared_sandbox: Client) -> None:
    url = f"{shared_sandbox.root}/public/v1"
    everything = Config.local(url, API_KEY)
    first, second, *_ = Directory(everything).list_products()
    chosen = Directory(everything).list_products(Query().in_("id", [second.id]))
    assert [product.id for product in chosen] == [second.id]

    mine = Directory(Config.local(url, API_KEY, [first.id]))
    newest_first = Query().not_equal("status", "terminated").ordering(["-events.created.at"])
    assets = mine.list_assets(newest_first.limit(2))
    assert len(assets) == 2
    assert {asset.product.id for asset in assets} == {first.id}
    named = mine.list_assets(Query().equal("product.id", second.id))
    assert {asset.product.id for asset in named} == {second.id}
    of_mine = {found.id for found in mine.list_tier_configs(Query())}
    assert of_mine == {found.id for found in mine.list_tier_configs()} != set()
    parameters = first.get_product_configurations(config=everything)
    item = Query().equal("parameter.id", parameters[0].parameter.id)
    assert len(first.get_product_configurations(item, everything)) < len(parameters)

    class Purchases(FulfillmentAutomation):
        def filters(self, status: Any = None, **kwargs: Any) -> Any:
            return Query(super().filters(status, **kwargs)).equal("type", "purchase")

    found = Purchases(everything).list()
    assert found
    assert {(request.type, request.status) for request in found} == {("purchase", "pending")}
