"""The steps of every outcome for every kind, as one table."""

from __future__ import annotations

from typing import Any

import pytest

from connect_worker.domain.api_calls import (
    FILE_ACTIONS,
    ApiCall,
    MessagePost,
    StatusChange,
    build_api_calls,
)
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
from connect_worker.exceptions import Permanent

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0000")
TCR = RequestKey(RequestKind.TIER_CONFIG, "TCR-000-000-000")
UF = RequestKey(RequestKind.USAGE_FILE, "UF-2018-11-9878764342")
LST = RequestKey(RequestKind.USAGE, "LST-066-644-910")

PARAMS: list[dict[str, Any]] = [{"id": "email", "value_error": "Which?"}]

#: A step in short: method, path, body and the status it leads to; of a message its text.
Short = tuple[Any, ...]


def short(step: ApiCall) -> Short:
    if isinstance(step, MessagePost):
        return ("say", step.instance_id, step.text)
    return (step.method, step.path, step.body, step.resulting_status)


def say(text: str) -> Short:
    return ("say", PR.id, text)


TABLE: list[tuple[RequestKey, Outcome, list[Short], str, str]] = [
    # ---- fulfillment
    (
        PR,
        Approve(template_id="TL-1"),
        [
            ("POST", f"requests/{PR.id}/approve", {"template_id": "TL-1"}, "approved"),
            say("Activated using template TL-1."),
        ],
        "approved",
        "approved",
    ),
    (
        PR,
        Approve(tile="# Hi"),
        [
            ("POST", f"requests/{PR.id}/approve", {"activation_tile": "# Hi"}, "approved"),
            say("Activated using custom activation tile."),
        ],
        "approved",
        "approved",
    ),
    (
        PR,
        Inquire("Email?", PARAMS),
        [
            ("PUT", f"requests/{PR.id}", {"asset": {"params": PARAMS}}, ""),
            ("POST", f"requests/{PR.id}/inquire", {}, "inquiring"),
            say("Email?"),
        ],
        "inquired",
        "inquiring",
    ),
    (
        PR,
        Inquire("Email?"),
        [("POST", f"requests/{PR.id}/inquire", {}, "inquiring"), say("Email?")],
        "inquired",
        "inquiring",
    ),
    (
        PR,
        Fail("No"),
        [("POST", f"requests/{PR.id}/fail", {"reason": "No"}, "failed"), say("No")],
        "failed",
        "failed",
    ),
    (PR, Skip("Later"), [say("Later")], "skipped: Later", ""),
    (PR, Skip(), [], "skipped", ""),
    (UF, Skip("Request skipped"), [], "skipped", ""),
    (PR, NoDecision(), [], "left pending", ""),
    # ---- tier configurations: other bodies, no conversation
    (
        TCR,
        Approve(template_id="TL-1"),
        [
            (
                "POST",
                f"tier/config-requests/{TCR.id}/approve",
                {"template": {"id": "TL-1"}},
                "approved",
            )
        ],
        "approved",
        "approved",
    ),
    (
        TCR,
        Approve(tile="# Hi"),
        [
            (
                "POST",
                f"tier/config-requests/{TCR.id}/approve",
                {"template": {"representation": "# Hi"}},
                "approved",
            )
        ],
        "approved",
        "approved",
    ),
    (
        TCR,
        Inquire("Email?", PARAMS),
        [
            ("PUT", f"tier/config-requests/{TCR.id}", {"params": PARAMS}, ""),
            ("POST", f"tier/config-requests/{TCR.id}/inquire", {}, "inquiring"),
        ],
        "inquired",
        "inquiring",
    ),
    (
        TCR,
        Fail("No"),
        [("POST", f"tier/config-requests/{TCR.id}/fail", {"reason": "No"}, "failed")],
        "failed",
        "failed",
    ),
    (TCR, Skip("Later"), [], "skipped: Later", ""),
    (TCR, NoDecision(), [], "left pending", ""),
    # ---- usage files: no closing slash
    *(
        (
            UF,
            FileAction(action, body),
            [("POST", f"usage/files/{UF.id}/{action}", body, becomes)],
            result,
            becomes,
        )
        for action, body, becomes, result in (
            ("submit", {}, "pending", "submitted"),
            ("submit", {"rejection_note": "x"}, "pending", "submitted"),
            ("accept", {"acceptance_note": "x"}, "accepted", "accepted"),
            ("reject", {"rejection_note": "x"}, "rejected", "rejected"),
            ("close", None, "closed", "closed"),
            ("delete", None, "deleted", "deleted"),
        )
    ),
    (UF, Skip("Later"), [], "skipped: Later", ""),
    # ---- listings
    (LST, Report("reported as UF-1"), [], "reported", ""),
    (LST, Report("no usage", is_submitted=False), [], "nothing submitted", ""),
    (LST, NoDecision(), [], "nothing submitted", ""),
    (LST, Skip("Later"), [], "skipped: Later", ""),
]


@pytest.mark.parametrize(
    ("ref", "outcome", "steps", "result", "becomes"),
    TABLE,
    ids=lambda value: f"{value.kind}" if isinstance(value, RequestKey) else None,
)
def test_an_outcome_is_posted_in_these_steps(
    ref: RequestKey, outcome: Outcome, steps: list[Short], result: str, becomes: str
) -> None:
    made = build_api_calls(ref, outcome)
    assert [short(step) for step in made.steps] == steps
    assert (made.result, made.resulting_status) == (result, becomes)
    assert made.stays_pending == isinstance(outcome, (Skip, NoDecision))


@pytest.mark.parametrize(("ref", "outcome"), [(row[0], row[1]) for row in TABLE])
def test_the_steps_of_an_outcome_have_different_names_and_the_same_each_time(
    ref: RequestKey, outcome: Outcome
) -> None:
    names = [step.name for step in build_api_calls(ref, outcome).steps]
    assert len(set(names)) == len(names)
    assert names == [step.name for step in build_api_calls(ref, outcome).steps]


def test_the_step_that_changes_the_status_is_the_last_change() -> None:
    for ref, outcome, *_ in TABLE:
        changes = [
            step for step in build_api_calls(ref, outcome).steps if isinstance(step, StatusChange)
        ]
        assert [bool(step.resulting_status) for step in changes] == [False] * (len(changes) - 1) + [
            True
        ] * (1 if changes else 0)


def test_other_words_of_a_skip_are_another_step() -> None:
    [item], [other], [same] = (build_api_calls(PR, Skip(text)).steps for text in ("a", "b", "a"))
    assert item.name != other.name
    assert item.name == same.name


@pytest.mark.parametrize("request_id", ["", "PR-1/approve", "PR-1?x=1"])
def test_an_id_that_would_make_another_path_is_refused(request_id: str) -> None:
    with pytest.raises(Permanent, match="is not a request id"):
        build_api_calls(RequestKey(RequestKind.FULFILLMENT, request_id), Fail("x"))


def test_an_action_that_connect_does_not_have_is_refused() -> None:
    with pytest.raises(Permanent, match="archive"):
        build_api_calls(UF, FileAction("archive"))


def test_every_action_on_a_usage_file_has_its_status() -> None:
    assert set(FILE_ACTIONS) == {"submit", "accept", "reject", "close", "delete"}


def test_an_approval_need_not_be_reported() -> None:
    [step] = build_api_calls(PR, Approve(template_id="TL-1"), say_activated=False).steps
    assert step.name == "approve"
    assert len(build_api_calls(PR, Inquire("Email?"), say_activated=False).steps) == 2
