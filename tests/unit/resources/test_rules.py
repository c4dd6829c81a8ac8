"""What a class says of its errors and its patience, read at the start."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connect_worker.domain.outcomes import Fail, FileAction, Inquire
from connect_worker.domain.retry import NO_ERROR_RULES, ErrorRules
from connect_worker.domain.states import RequestKind, Route
from connect_worker.exceptions import (
    AcceptUsageFile,
    FailRequest,
    FileCreationError,
    InquireRequest,
    RegistrationError,
    RejectUsageFile,
    RetryRequest,
    SkipRequest,
)
from connect_worker.resources import (
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.resources.automation import Automation
from connect_worker.resources.discovery import route_of, rules_of

BASES: dict[RequestKind, type[Automation[Any]]] = {
    base.kind: base
    for base in (FulfillmentAutomation, TierConfigAutomation, UsageAutomation, UsageFileAutomation)
}


def read(kind: RequestKind = RequestKind.FULFILLMENT, **attributes: object) -> ErrorRules:
    return rules_of(type("Orders", (BASES[kind],), attributes), "my_vendor.Orders")


@pytest.mark.parametrize("kind", RequestKind)
def test_a_class_that_says_nothing_has_the_rules_of_all(kind: RequestKind) -> None:
    assert read(kind) == NO_ERROR_RULES


@pytest.mark.parametrize(
    ("kind", "decision", "outcome"),
    [
        (RequestKind.FULFILLMENT, FailRequest("No"), Fail("No")),
        (RequestKind.TIER_CONFIG, InquireRequest("Which?"), Inquire("Which?")),
        (
            RequestKind.USAGE_FILE,
            RejectUsageFile("No"),
            FileAction("reject", {"rejection_note": "No"}),
        ),
    ],
)
def test_the_last_word_is_one_that_the_kind_has(
    kind: RequestKind, decision: Exception, outcome: object
) -> None:
    assert read(kind, when_exhausted=decision).when_exhausted == outcome


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            RequestKind.USAGE,
            FailRequest("No"),
            "FailRequest decides nothing for a usage request; 'park'",
        ),
        (
            RequestKind.USAGE_FILE,
            InquireRequest("?"),
            "InquireRequest decides nothing for a usage-file",
        ),
        (RequestKind.FULFILLMENT, AcceptUsageFile("x"), "AcceptUsageFile decides nothing"),
        (RequestKind.FULFILLMENT, SkipRequest("x"), "to skip decides nothing"),
        (RequestKind.FULFILLMENT, RetryRequest("x"), "give 'park', or the decision itself"),
        (RequestKind.FULFILLMENT, FileCreationError("x"), "give 'park', or the decision itself"),
        (RequestKind.FULFILLMENT, FailRequest, "give 'park', or the decision itself"),
        (RequestKind.FULFILLMENT, "fail", "give 'park', or the decision itself"),
        (RequestKind.FULFILLMENT, None, "give 'park', or the decision itself"),
    ],
)
def test_a_last_word_that_the_kind_has_not_is_refused(
    kind: RequestKind, given: object, message: str
) -> None:
    with pytest.raises(RegistrationError, match=re.escape(message)) as caught:
        read(kind, when_exhausted=given)
    assert str(caught.value).startswith("my_vendor.Orders")


def test_one_exception_may_be_declared_without_a_tuple() -> None:
    assert read(retry_on=OSError).retry_on == (OSError,)


@pytest.mark.parametrize("attribute", ["retry_on", "give_up_on"])
@pytest.mark.parametrize("given", ["OSError", (OSError()), (KeyboardInterrupt,), 3, None])
def test_what_is_no_exception_class_is_refused(attribute: str, given: object) -> None:
    with pytest.raises(RegistrationError, match=rf"my_vendor\.Orders has {attribute} = "):
        rules_of(type("Orders", (FulfillmentAutomation,), {attribute: given}), "my_vendor.Orders")


def test_an_exception_that_is_declared_both_ways_is_refused() -> None:
    with pytest.raises(RegistrationError, match="has OSError in both retry_on and give_up_on"):
        read(retry_on=(OSError, KeyError), give_up_on=(OSError,))


@pytest.mark.parametrize("given", [0, -1, True, "60", float("inf"), float("nan")])
def test_seconds_that_can_not_be_are_refused(given: object) -> None:
    with pytest.raises(RegistrationError, match=r"my_vendor\.Orders has give_up_after = "):
        read(give_up_after=given)


def test_the_nearest_declared_class_decides_and_a_cause_when_a_file_error_says_nothing() -> None:
    rules = read(retry_on=(ConnectionError,), give_up_on=(OSError,))
    assert rules.gives_up_on(ConnectionResetError()) is False
    assert rules.gives_up_on(PermissionError()) is True
    assert rules.gives_up_on(KeyError()) is None
    error = FileCreationError("x")
    assert rules.gives_up_on(error) is None
    error.__cause__ = TimeoutError()
    assert rules.gives_up_on(error) is True


@pytest.mark.parametrize("attributes", [{}, {"queue": "fulfillment"}, {"queue": None}])
def test_without_a_word_about_it_messages_wait_in_the_kinds_queue(
    attributes: dict[str, object],
) -> None:
    automation = type("Orders", (FulfillmentAutomation,), attributes)
    assert route_of(automation, "Orders") == Route()


def test_a_queue_and_a_priority_are_a_route() -> None:
    automation = type("Orders", (FulfillmentAutomation,), {"queue": "slow.1", "priority": 9})
    assert route_of(automation, "Orders") == Route("slow.1", 9)


@pytest.mark.parametrize(
    ("attribute", "given"),
    [
        *(("queue", given) for given in ("", "a b", "a@eu", "-Q", 3, "x" * 65)),
        *(("priority", given) for given in (-1, 10, True, 1.5, "3", None)),
    ],
)
def test_a_queue_or_priority_that_can_not_be_is_refused(attribute: str, given: object) -> None:
    automation = type("Orders", (FulfillmentAutomation,), {attribute: given})
    with pytest.raises(RegistrationError, match=f"Orders has {attribute} = "):
        route_of(automation, "Orders")


# ---- attributes that nothing reads


@pytest.mark.parametrize(
    ("attribute", "known"),
    [
        ("product", "products"),
        ("Products", "products"),
        ("timelimit", "time_limit"),
        ("maxconcurrency", "max_concurrency"),
        ("periods", "period"),
        ("giveup_on", "give_up_on"),
        ("queues", "queue"),
    ],
)
@pytest.mark.parametrize("kind", RequestKind)
def test_an_attribute_that_is_almost_a_known_one_is_refused(
    kind: RequestKind, attribute: str, known: str
) -> None:
    said = f"my_vendor.Orders has {attribute} = 'PRD-1', which has no effect: write {known}, or"
    with pytest.raises(RegistrationError, match=re.escape(said)):
        read(kind, **{attribute: "PRD-1"})


def test_an_attribute_of_a_base_of_the_users_is_refused() -> None:
    base = type("Base", (FulfillmentAutomation,), {"product": "PRD-1"})
    with pytest.raises(RegistrationError, match="has product = 'PRD-1'"):
        rules_of(type("Orders", (base,), {}))


@pytest.mark.parametrize(
    "attributes",
    [
        {"product_id": "PRD-1"},
        {"PRODUCT": "PRD-1"},
        {"_product": "PRD-1"},
        {"product": property(lambda self: "PRD-1")},
        {"product": lambda self: "PRD-1"},
        {"backend": "https://backend.example", "limit": 1000, "resource": "requests"},
        {"period": "month"},
        {"logger": None, "config": None},
    ],
    ids=" ".join,
)
def test_an_attribute_of_the_users_own_is_not_refused(attributes: dict[str, Any]) -> None:
    assert read(**attributes) == NO_ERROR_RULES
