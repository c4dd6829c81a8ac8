"""Every way to decide that the 2019 SDK had, and what it means for each kind."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from connect_worker.domain.api_calls import build_api_calls
from connect_worker.domain.interpretation import interpret
from connect_worker.domain.outcomes import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    NoDecision,
    Outcome,
    Report,
    Skip,
)
from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.exceptions import (
    AcceptUsageFile,
    CloseUsageFile,
    DeleteUsageFile,
    FailRequest,
    InquireRequest,
    InvalidDecision,
    RejectUsageFile,
    SkipRequest,
    SubmitUsageFile,
    UsageFileAction,
)
from connect_worker.models import ActivationTemplateResponse, ActivationTileResponse, Param

REQUESTS = (RequestKind.FULFILLMENT, RequestKind.TIER_CONFIG)


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def process() -> NoReturn:
        raise error

    return process


def returning(value: object) -> Callable[[], object]:
    return lambda: value


def tile_of(value: Any) -> ActivationTileResponse:
    response = ActivationTileResponse()
    response.tile = value
    return response


#: What a listing's processor returns is only logged.
RETURNED: list[tuple[object, dict[RequestKind, Outcome]]] = [
    (
        ActivationTemplateResponse("TL-1"),
        dict.fromkeys(REQUESTS, Approve(template_id="TL-1")),
    ),
    (ActivationTileResponse("# Hi"), dict.fromkeys(REQUESTS, Approve(tile="# Hi"))),
    (ActivationTileResponse(), dict.fromkeys(REQUESTS, Approve(tile="Activation succeeded"))),
    (None, dict.fromkeys(REQUESTS, NoDecision())),
    ("", dict.fromkeys(REQUESTS, NoDecision())),
    (False, dict.fromkeys(REQUESTS, NoDecision())),
    ([], dict.fromkeys(REQUESTS, NoDecision())),
    ("done", {}),
    (True, {}),
    ({"template_id": "TL-1"}, {}),
    (ActivationTemplateResponse(""), {}),
    (tile_of({"title": "Hi"}), dict.fromkeys(REQUESTS, Approve(tile={"title": "Hi"}))),
    (tile_of(None), {}),
    (tile_of(7), {}),
]

RAISED: list[tuple[BaseException, dict[RequestKind, Outcome]]] = [
    (FailRequest("No"), dict.fromkeys(REQUESTS, Fail("No"))),
    (FailRequest(), dict.fromkeys(REQUESTS, Fail("Request failed"))),
    (InquireRequest("Email?"), dict.fromkeys(REQUESTS, Inquire("Email?"))),
    (InquireRequest(), dict.fromkeys(REQUESTS, Inquire("Correct user input required"))),
    (SkipRequest("Later"), dict.fromkeys(RequestKind, Skip("Later"))),
    (SkipRequest(), dict.fromkeys(RequestKind, Skip("Request skipped"))),
    (
        AcceptUsageFile("Fine"),
        {RequestKind.USAGE_FILE: FileAction("accept", {"acceptance_note": "Fine"})},
    ),
    (
        RejectUsageFile("Bad"),
        {RequestKind.USAGE_FILE: FileAction("reject", {"rejection_note": "Bad"})},
    ),
    (SubmitUsageFile("x"), {RequestKind.USAGE_FILE: FileAction("submit", {"rejection_note": "x"})}),
    (SubmitUsageFile(), {RequestKind.USAGE_FILE: FileAction("submit", {})}),
    (CloseUsageFile(), {RequestKind.USAGE_FILE: FileAction("close")}),
    (DeleteUsageFile("x"), {RequestKind.USAGE_FILE: FileAction("delete")}),
    (
        UsageFileAction("mine", "submit", {"rejection_note": "x"}),
        {RequestKind.USAGE_FILE: FileAction("submit", {"rejection_note": "x"})},
    ),
    (UsageFileAction("mine", "archive"), {}),
]


@pytest.mark.parametrize("kind", RequestKind)
@pytest.mark.parametrize(("result", "means"), RETURNED, ids=repr)
def test_a_result_means_this_or_is_refused(
    kind: RequestKind, result: object, means: dict[RequestKind, Outcome]
) -> None:
    if kind is RequestKind.USAGE:
        expected = Report(str(result)) if result else NoDecision()
        assert interpret(kind, returning(result)) == expected
    elif kind in means:
        assert interpret(kind, returning(result)) == means[kind]
    else:
        with pytest.raises(InvalidDecision):
            interpret(kind, returning(result))


@pytest.mark.parametrize("kind", RequestKind)
@pytest.mark.parametrize(("error", "means"), RAISED, ids=lambda value: type(value).__name__)
def test_an_exception_means_this_or_is_refused(
    kind: RequestKind, error: BaseException, means: dict[RequestKind, Outcome]
) -> None:
    if kind in means:
        assert interpret(kind, raising(error)) == means[kind]
    else:
        with pytest.raises(InvalidDecision) as raised:
            interpret(kind, raising(error))
        assert type(error).__name__ in str(raised.value)
        assert raised.value.__cause__ is error


@pytest.mark.parametrize("kind", RequestKind)
def test_whatever_is_judged_can_be_planned(kind: RequestKind) -> None:
    returned = [returning(result) for result, means in RETURNED if kind in means]
    raised = [raising(error) for error, means in RAISED if kind in means]
    for process in (*returned, *raised):
        assert build_api_calls(RequestKey(kind, "X-1"), interpret(kind, process)).result


@pytest.mark.parametrize("kind", RequestKind)
@pytest.mark.parametrize(
    "error", [ValueError("mine"), NotImplementedError(), OSError(), KeyboardInterrupt()]
)
def test_any_other_exception_is_no_decision(kind: RequestKind, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        interpret(kind, raising(error))
    assert raised.value is error


@pytest.mark.parametrize("code", [None, 0, 3, "API down"])
def test_a_processor_that_exits_is_one_in_error(code: int | str | None) -> None:
    """Else it would take the worker's process with it."""
    with pytest.raises(RuntimeError, match="RetryRequest") as raised:
        interpret(RequestKind.FULFILLMENT, raising(SystemExit(code)))
    assert f"sys.exit({code!r})" in str(raised.value)


def test_a_signal_ends_the_process_inside_of_a_processor_too() -> None:
    with pytest.raises(SystemExit):
        interpret(RequestKind.FULFILLMENT, raising(SystemExit(signal.SIGTERM - 256)))


def test_a_refused_result_is_named() -> None:
    with pytest.raises(InvalidDecision, match="returned dict"):
        interpret(RequestKind.FULFILLMENT, returning({"a": 1}))
    with pytest.raises(InvalidDecision, match="returned 'done'"):
        interpret(RequestKind.USAGE_FILE, returning("done"))


def test_of_a_parameter_connect_gets_what_it_takes() -> None:
    param = Param(id="email", value="", value_error="Which?", name="Email", title="Email address")
    address = {"id": "where", "structured_value": {"city": "Bonn"}, "value": None, "type": "object"}
    error = InquireRequest("x", params=[param, address])  # type: ignore[list-item]  # also taken
    assert interpret(RequestKind.FULFILLMENT, raising(error)) == Inquire(
        "x",
        [
            {"id": "email", "value": "", "value_error": "Which?"},
            {"id": "where", "structured_value": {"city": "Bonn"}},
        ],
    )


def test_what_is_no_parameter_is_refused() -> None:
    params: Any = ["email"]
    with pytest.raises(InvalidDecision, match=r"InquireRequest: a parameter is .* not a str"):
        interpret(RequestKind.FULFILLMENT, raising(InquireRequest("x", params=params)))
