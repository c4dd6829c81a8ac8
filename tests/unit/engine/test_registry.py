"""Which automation a request goes to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connect_worker.domain.states import Limit, RequestKind, Route, limit_for, route_for
from connect_worker.engine.runtime import Registration, Registry
from connect_worker.exceptions import RegistrationError


def entry(
    name: str, *products: str, kind: RequestKind = RequestKind.FULFILLMENT, empty: bool = False
) -> Registration[str]:
    named = frozenset(products) if products or empty else None
    return Registration(kind, named, name, f"<{name}>")


def test_the_automation_that_names_the_product_comes_first() -> None:
    for order in (1, -1):
        registry = Registry([entry("general"), entry("special", "PRD-1", "PRD-2")][::order])
        assert registry.find(RequestKind.FULFILLMENT, "PRD-1") == "<special>"
        assert registry.find(RequestKind.FULFILLMENT, "PRD-2") == "<special>"
        assert registry.find(RequestKind.FULFILLMENT, "PRD-3") == "<general>"


def test_a_request_that_names_no_product_goes_to_the_general_one() -> None:
    registry = Registry([entry("general"), entry("special", "PRD-1")])
    assert registry.find(RequestKind.FULFILLMENT, "") == "<general>"


def test_nobodys_request_has_no_automation() -> None:
    registry = Registry([entry("special", "PRD-1")])
    assert registry.find(RequestKind.FULFILLMENT, "PRD-2") is None
    assert registry.find(RequestKind.FULFILLMENT, "") is None
    assert registry.find(RequestKind.TIER_CONFIG, "PRD-1") is None


def test_kinds_are_apart() -> None:
    registry = Registry([entry("one", "PRD-1"), entry("two", "PRD-1", kind=RequestKind.USAGE)])
    assert registry.find(RequestKind.FULFILLMENT, "PRD-1") == "<one>"
    assert registry.find(RequestKind.USAGE, "PRD-1") == "<two>"


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (entry("mine.A", "PRD-1", "PRD-2"), entry("mine.B", "PRD-2"), "product PRD-2"),
        (entry("mine.A"), entry("mine.B"), "all products"),
        (entry("mine.A"), entry("mine.B", empty=True), "all products"),
    ],
)
def test_two_for_the_same_are_refused_and_both_named(
    first: Registration[str], second: Registration[str], what: str
) -> None:
    with pytest.raises(RegistrationError, match=f"mine.A and mine.B both claim .*{what}"):
        Registry([first, second])


def test_what_is_covered_is_reported_for_every_kind() -> None:
    entries = [entry("a", "PRD-2"), entry("b", "PRD-1"), entry("c", kind=RequestKind.USAGE)]
    registry = Registry(entries)
    assert registry.coverage == {
        RequestKind.FULFILLMENT: ["a", "b"],
        RequestKind.TIER_CONFIG: [],
        RequestKind.USAGE_FILE: [],
        RequestKind.USAGE: ["c"],
    }
    assert registry.of_kind(RequestKind.FULFILLMENT) == ["<a>", "<b>"]
    assert registry.products == ["PRD-1", "PRD-2"]
    assert registry.registrations == entries


def test_without_a_limit_anywhere_a_kind_has_none() -> None:
    registry = Registry([entry("general"), entry("special", "PRD-1")])
    assert registry.limits(RequestKind.FULFILLMENT) == {}


def test_the_limits_of_a_kind_are_reported_by_product() -> None:
    special = replace(entry("special", "PRD-1", "PRD-2"), max_concurrency=2)
    others = replace(entry("usage", kind=RequestKind.USAGE), max_concurrency=1)
    registry = Registry([entry("general"), special, others])
    limit = Limit("special", 2)
    assert registry.limits(RequestKind.FULFILLMENT) == {"": None, "PRD-1": limit, "PRD-2": limit}
    assert registry.limits(RequestKind.USAGE) == {"": Limit("usage", 1)}
    assert registry.limits(RequestKind.TIER_CONFIG) == {}


def test_a_products_limit_is_its_automations() -> None:
    limits = {"": Limit("general", 1), "PRD-1": None}
    assert limit_for(limits, "PRD-1") is None
    assert limit_for(limits, "PRD-2") == limit_for(limits, "") == Limit("general", 1)
    assert limit_for({"PRD-1": None}, "PRD-2") is None


def test_routes_are_those_of_kinds_that_have_one_with_every_product_that_is_named() -> None:
    slow = Route(queue="slow", priority=3)
    registry = Registry(
        [
            replace(entry("general"), route=slow),
            entry("special", "PRD-1"),
            entry("other", kind=RequestKind.USAGE),
        ]
    )
    assert registry.routes == {
        (RequestKind.FULFILLMENT, ""): slow,
        (RequestKind.FULFILLMENT, "PRD-1"): Route(),
    }
    assert route_for(registry.routes, RequestKind.FULFILLMENT, "PRD-2") == slow
    assert route_for(registry.routes, RequestKind.FULFILLMENT, "PRD-1") == Route()
    assert route_for(registry.routes, RequestKind.USAGE, "PRD-2") == Route()
    assert Registry([entry("general")]).routes == {}


def test_a_queue_that_nobody_has_named_is_refused_before_messages_are_lost_in_it() -> None:
    registry = Registry([replace(entry("mine.Slow"), route=Route(queue="slow")), entry("b", "P")])
    registry.require_queues(["slow", "other"])
    with pytest.raises(
        RegistrationError, match=r"mine\.Slow has queue = 'slow', which is not in CONNECT_QUEUES"
    ):
        registry.require_queues(["other"])
