"""What each decision posts, over HTTP, judged by the sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connect_worker.domain.states import RequestKind, State
from connect_worker.engine.runtime import Registry
from connect_worker.exceptions import (
    AcceptUsageFile,
    FailRequest,
    InquireRequest,
    SkipRequest,
    SubmitUsageFile,
)
from connect_worker.models import ActivationTemplateResponse, ActivationTileResponse
from tests.support.engine_harness import SKIP_SECONDS

from .conftest import Open


def template_of(opened: Any, request_id: str) -> str:
    """An activation template of the request's product."""
    product = opened.seen(opened.only(request_id))["product"]
    templates = opened.sandbox.get(f"products/{product}/templates")
    return str(next(t["id"] for t in templates if t["type"] == "fulfillment"))


def test_a_template_response_approves_and_says_so(open_for: Open) -> None:
    chosen: list[str] = []
    opened = open_for(lambda self, request: ActivationTemplateResponse(chosen[0]))
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    template = template_of(opened, ref.id)
    chosen.append(template)

    handled = opened.handle(ref)

    assert handled.text == "approved"
    [outcome] = opened.seen(ref)["accepted"]
    assert outcome["body"] == {"template_id": template}
    assert opened.said(ref) == [f"Activated using template {template}."]
    assert opened.entry(ref).state is State.COMPLETED


def test_a_tile_response_approves_with_the_tile(open_for: Open) -> None:
    opened = open_for(lambda self, request: ActivationTileResponse("# Hello"))
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    opened.handle(ref)
    [outcome] = opened.seen(ref)["accepted"]
    assert outcome["body"] == {"activation_tile": "# Hello"}
    assert opened.said(ref) == ["Activated using custom activation tile."]


def test_an_approval_takes_four_calls_and_carries_the_key(open_for: Open) -> None:
    keys = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    before = opened.sandbox.control("GET", "report?summary=1")["calls"]["total"]
    opened.handle(ref)
    after = opened.sandbox.control("GET", "report?summary=1")["calls"]["total"]

    assert after - before == 4
    [outcome], [message] = opened.seen(ref)["accepted"], opened.seen(ref)["messages"]
    assert len(keys[0]) == 32
    assert outcome["idempotency_key"] == message["idempotency_key"] == keys[0]


def test_an_inquiry_stores_the_parameters_first(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        email = request.asset.get_param_by_id("email")
        email.value_error = "Which?"
        raise InquireRequest(params=[email])

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("missing-email"))

    assert opened.handle(ref).text == "inquired"
    assert opened.accepted(ref) == ["inquire"]
    assert opened.said(ref) == ["Correct user input required"]
    [put] = opened.seen(ref)["params"]
    assert put["email"]["value_error"] == "Which?"


def test_an_answered_inquiry_is_a_new_cycle_with_a_new_key(open_for: Open) -> None:
    keys: list[str] = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        if not request.asset.get_param_by_id("email").value:
            raise InquireRequest("Email?", params=[request.asset.get_param_by_id("email")])
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("missing-email"))
    opened.handle(ref)
    opened.poll()
    assert ref not in opened.messages, "an inquired request is not pending"

    answer = {"params": {"email": "someone@example.com"}}
    opened.sandbox.control("POST", f"requests/{ref.id}/answer", answer)
    opened.poll()
    assert opened.messages.count(ref) == 1
    assert opened.handle(ref).text == "approved"

    assert opened.accepted(ref) == ["inquire", "approve"]
    assert keys[0] != keys[1]
    assert opened.entry(ref).cycle == "2"


def test_a_failed_request_gets_the_reason(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise FailRequest("No such thing")

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    assert opened.handle(ref).text == "failed"
    [outcome] = opened.seen(ref)["accepted"]
    assert (outcome["action"], outcome["body"]) == ("fail", {"reason": "No such thing"})
    assert opened.said(ref) == ["No such thing"]


def test_a_skip_says_so_once_and_looks_again_with_the_same_key(open_for: Open) -> None:
    keys: list[str] = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        if len(keys) < 3:
            raise SkipRequest
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))

    assert opened.handle(ref).text == "skipped"
    assert opened.entry(ref).state is State.SNOOZED
    assert opened.handle(ref).text == "nothing to do: not due"
    assert opened.later(ref, SKIP_SECONDS + 1).text == "skipped"
    assert opened.said(ref) == ["Request skipped"]
    assert opened.entry(ref).attempt == 0, "looking again is no failed attempt"

    assert opened.later(ref, SKIP_SECONDS + 1).text == "approved"
    assert len(set(keys)) == 1


@pytest.mark.parametrize("result", [None, "", False, []])
def test_a_falsy_result_posts_nothing(open_for: Open, result: object) -> None:
    opened = open_for(lambda self, request: result)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    assert opened.handle(ref).text == "left pending"
    assert opened.accepted(ref) == []
    assert opened.said(ref) == []
    assert opened.entry(ref).state is State.SNOOZED


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (ActivationTemplateResponse("TL-1"), None),
        (ActivationTileResponse("# Hi"), {"template": {"representation": "# Hi"}}),
    ],
)
def test_a_tier_config_request_is_approved_in_its_own_form(
    open_for: Open, response: Any, body: Any
) -> None:
    opened = open_for(lambda self, request: response, RequestKind.TIER_CONFIG)
    ref = opened.only(opened.sandbox.with_scenario("setup"))
    if body is None:
        product = opened.seen(ref)["product"]
        templates = opened.sandbox.get(f"products/{product}/templates")
        template = next(t["id"] for t in templates if t["scope"] == "tier1")
        response = ActivationTemplateResponse(template)
        opened = open_for(lambda self, request: response, RequestKind.TIER_CONFIG)
        opened.only(ref.id)
        body = {"template": {"id": template}}
    assert opened.handle(ref).text == "approved"
    [outcome] = opened.seen(ref)["accepted"]
    assert outcome["body"] == body


def test_a_usage_file_is_submitted_and_then_accepted(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.status.lower() == "ready":
            raise SubmitUsageFile("Please")
        raise AcceptUsageFile("Thanks")

    opened = open_for(
        process,
        RequestKind.USAGE_FILE,
        filters=lambda self: {"status": ["ready", "READY", "pending"]},
    )
    ref = opened.only(opened.sandbox.with_scenario("ready"))
    assert opened.handle(ref).text == "submitted"
    opened.poll()
    assert ref in opened.messages, "the provider's side of the same file is a cycle of its own"
    assert opened.handle(ref).text == "accepted"
    assert opened.accepted(ref) == ["submit", "accept"]


def test_a_request_of_nobodys_product_is_left_alone(open_for: Open) -> None:
    opened = open_for(lambda self, request: ActivationTileResponse("x"))
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    opened.engine = replace(opened.engine, registry=Registry([]))
    assert opened.handle(ref).text.startswith("left alone")
    assert opened.accepted(ref) == []
