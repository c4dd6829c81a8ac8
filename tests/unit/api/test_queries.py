"""Filters become RQL that the other side reads back as they were meant.

The other side is the sandbox: it shares no code with the builder, and parses RQL with lib-rql, the
vendor's own parser.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.rql import OPERATORS, statuses_of, to_query, without_paging
from connect_worker.sandbox import rql
from connect_worker.sandbox.rql import Comparison, Membership, Query, Term


def on_the_wire(query: str) -> str:
    """The query string as the HTTP library sends it."""
    url = requests.Request("GET", f"http://connect.test/requests?{query}").prepare().url
    assert url is not None
    return url.partition("?")[2]


def read(filters: Any) -> Query:
    return rql.parse(on_the_wire(to_query(filters)), lambda name: name)


def term(filters: Any) -> Term:
    [only] = read(filters).where.terms
    return only


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        (None, ""),
        ({}, ""),
        ("", ""),
        ("eq(status,pending)&ordering(-created)", "eq(status,pending)&ordering(-created)"),
        ("?status=pending", "status=pending"),
        ({"status": "pending"}, "eq(status,pending)"),
        ({"status": ["ready", "pending"]}, "in(status,(ready,pending))"),
        ({"status": ("ready",)}, "in(status,(ready))"),
        ({"asset.product.id": "PRD-1"}, "eq(asset.product.id,PRD-1)"),
        ({"asset__product__id": "PRD-1"}, "eq(asset.product.id,PRD-1)"),
        ({"asset__product__id__in": "PRD-1,PRD-2"}, "in(asset.product.id,(PRD-1,PRD-2))"),
        ({"asset.product.id__in": "PRD-1, PRD-2,"}, "in(asset.product.id,(PRD-1,PRD-2))"),
        ({"asset.product.id__in": ["PRD-1"]}, "in(asset.product.id,(PRD-1))"),
        ({"id__out": ["PR-1", "PR-2"]}, "out(id,(PR-1,PR-2))"),
        ({"id__ne": ["PR-1", "PR-2"]}, "out(id,(PR-1,PR-2))"),
        ({"id": {"PR-1": 0}.keys()}, "in(id,(PR-1))"),
        ({"id": (name for name in ("PR-1", "PR-2"))}, "in(id,(PR-1,PR-2))"),
        ({"id": ["PR-1", None]}, "in(id,(PR-1))"),
        ({"id": None, "type": "cancel"}, "eq(type,cancel)"),
        ({"unassigned": True, "x": False}, "eq(unassigned,true)&eq(x,false)"),
        ({"configuration__tier_level": 1}, "eq(configuration.tier_level,1)"),
        ({"quantity": -1.5}, "eq(quantity,-1.5)"),
        ({"created__gt": "2026-01-01"}, "gt(created,2026-01-01)"),
        ({"created__gte": date(2026, 1, 1)}, "ge(created,2026-01-01)"),
        (
            {"created__lt": datetime(2026, 1, 1, 12, 30, tzinfo=UTC)},
            "lt(created,2026-01-01T12:30:00%2B00:00)",
        ),
        ({"name__contains": "a b"}, "like(name,'*a%20b*')"),
        ({"name__icontains": "ab"}, "ilike(name,*ab*)"),
        ({"name__like": "ab*"}, "like(name,ab*)"),
        ({"name": ""}, "eq(name,'')"),
        ({"name": "a/b"}, "eq(name,'a%2Fb')"),
        ({"name": "t"}, "eq(name,'t')"),
        ({"id__in": "s,t"}, "in(id,(s,'t'))"),
        ({"name": "it's"}, "eq(name,%22it%27s%22)"),
        ({"limit": 10, "offset": 5}, "limit=10&offset=5"),
        ({"order_by": "-created"}, "ordering(-created)"),
        ({"ordering": "-created, id"}, "ordering(-created,id)"),
        ({"ordering": ["-created", "id"]}, "ordering(-created,id)"),
    ],
)
def test_each_spelling_has_its_rql(filters: Any, query: str) -> None:
    assert to_query(filters) == query


@pytest.mark.parametrize(("suffix", "operator"), OPERATORS.items())
def test_each_suffix_is_its_operator(suffix: str, operator: str) -> None:
    found = term({f"asset__product__name__{suffix}": "some"})
    if operator in ("in", "out"):
        assert found == Membership("asset.product.name", ("some",), negated=operator == "out")
    else:
        value = "*some*" if suffix.endswith("contains") else "some"
        assert found == Comparison(operator, "asset.product.name", value)


@pytest.mark.parametrize("filters", [{"status": []}, {"id__in": ""}, {"id": [None]}, {"id": set()}])
def test_an_empty_list_is_refused(filters: Any) -> None:
    # It matches nothing; left out it would match everything.
    with pytest.raises(ValueError, match="empty list"):
        to_query(filters)


def test_a_value_that_rql_has_no_form_for_is_refused() -> None:
    with pytest.raises(ValueError, match="looked for"):
        to_query({"name": """both ' and " """})


#: What a value may hold: all but surrogates, which no URL can carry.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
AWKWARD = st.text("aB1 '\"\\&=()|;,*%+#?/:@.-_äß漢", max_size=12)


def is_readable(text: str) -> bool:
    """Whether RQL has a form for the text: a quoted value knows no escapes."""
    return not ("'" in text and '"' in text)


@given(st.one_of(VALUES, AWKWARD))
@example("")
@example(" leading and trailing ")
@example("null()")
@example("t")
@example("and")
@example("a&b=c#d?e")
@example("100% (really)")
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_value_is_read_back_as_it_was(value: str) -> None:
    assume(is_readable(value))
    assert term({"asset.external_id": value}) == Comparison("eq", "asset.external_id", value)


@given(st.lists(AWKWARD.filter(is_readable), min_size=1, max_size=4))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_list_is_read_back_as_it_was(values: list[str]) -> None:
    assert term({"id__in": values}) == Membership("id", tuple(values))


@given(AWKWARD.filter(is_readable), AWKWARD.filter(is_readable))
@hypothesis_settings(max_examples=50, deadline=None)
def test_several_filters_stay_apart(one: str, other: str) -> None:
    query = read({"id": one, "limit": 7, "name": other, "order_by": "-created,id"})
    assert query.where.terms == (Comparison("eq", "id", one), Comparison("eq", "name", other))
    assert (query.limit, query.ordering) == (7, (("created", True), ("id", False)))


# ---- which statuses a query asks for


@pytest.mark.parametrize(
    ("filters", "statuses"),
    [
        (None, set()),
        ({}, set()),
        ({"status": "pending"}, {"pending"}),
        ({"status": ["ready", "READY", "pending"]}, {"ready", "pending"}),
        ({"status__in": "ready,pending"}, {"ready", "pending"}),
        ({"status": "tiers_setup"}, {"tiers_setup"}),
        ({"asset.status": "active", "type": "pending"}, set()),
        ({"status__ne": "approved"}, set()),
        ({"status__out": ["approved"]}, set()),
        ("status=pending", {"pending"}),
        ("limit=10&status=pending&id=1", {"pending"}),
        ("status__in=ready,pending", {"ready", "pending"}),
        ("status=eq=pending", {"pending"}),
        ('eq(status,"pending")', {"pending"}),
        ("eq(status,%22pending%22)", {"pending"}),
        ("eq(status,'pending')", {"pending"}),
        ("in(status,('ready', pending))", {"ready", "pending"}),
        ("(eq(status,ready)|eq(status,invalid))", {"ready", "invalid"}),
        ("or(eq(status,ready),and(eq(status,pending),eq(id,1)))", {"ready", "pending"}),
        ("(status=ready|status=invalid)", {"ready", "invalid"}),
        ("not(eq(status,approved))", set()),
        ("not(or(eq(status,approved),eq(status,failed)))&eq(status,pending)", {"pending"}),
        ("ne(status,approved)", set()),
        ("asset.status=active&eq(asset.status,active)", set()),
        ("not(eq(status,approved)", set()),
    ],
)
def test_the_statuses_that_filters_ask_for(filters: Any, statuses: set[str]) -> None:
    assert statuses_of(filters) == statuses


def test_many_negations_take_no_longer_than_their_text() -> None:
    began = time.process_time()
    assert statuses_of("not(eq(status,a))&" * 20_000 + "eq(status,b)") == {"b"}
    assert statuses_of("not(" * 20_000 + "eq(status,a)" + ")" * 20_000) == set()
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("query", "rest", "limit", "offset"),
    [
        ("", "", None, None),
        ("eq(a,b)", "eq(a,b)", None, None),
        ("limit=10", "", 10, None),
        ("eq(a,b)&limit=10&offset=20&eq(c,d)", "eq(a,b)&eq(c,d)", 10, 20),
        ("limit(10,20)&eq(a,b)", "eq(a,b)", 10, None),
        ("eq(limit,5)&eq(a,limit=3)", "eq(limit,5)&eq(a,limit=3)", None, None),
        ("limit=5&limit=7", "", 7, None),
        ("limit=0&offset=0", "", None, 0),
    ],
)
def test_paging_is_taken_out_of_a_query(
    query: str, rest: str, limit: int | None, offset: int | None
) -> None:
    assert without_paging(query) == (rest, limit, offset)
