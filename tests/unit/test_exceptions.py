"""The error tree: its names, its texts, what is posted of it, and that all of it can be pickled."""

import copy
import pickle
from typing import Any

import pytest

from connect_worker import exceptions
from connect_worker.exceptions import (
    AcceptUsageFile,
    AccountPaused,
    ApiError,
    BadRequest,
    CloseUsageFile,
    CompatInstallError,
    ConnectionFailed,
    CorruptRecord,
    DecryptionKeyMissing,
    DeleteUsageFile,
    FailRequest,
    FileCreationError,
    FileRetrievalError,
    Forbidden,
    InquireRequest,
    InvalidDecision,
    InvalidDocument,
    InvalidResponse,
    InvalidStep,
    InvalidUsage,
    LeaseLost,
    LedgerUnavailable,
    Message,
    NotFound,
    Permanent,
    RateLimited,
    RegistrationError,
    RejectUsageFile,
    Retryable,
    RetryDeadlineExceeded,
    RetryRequest,
    ServerError,
    ServerFault,
    SettingsError,
    SkipRequest,
    SubmitUsageFile,
    Unauthorized,
    UsageFileAction,
    api_error_class,
)
from connect_worker.models import Param, ServerErrorResponse

KEY = "ApiKey SU-123-456-789:0123456789abcdef"

API_FACTS: dict[str, Any] = {
    "status": 409,
    "error_code": "VAL_001",
    "errors": ["already approved", "too late"],
    "params": {"id": "PR-1"},
    "method": "POST",
    "path": "requests/PR-1/approve",
}

SAMPLES: list[Message] = [
    Message("text", "code", {"any": 1}),
    FailRequest("no"),
    InquireRequest("which?", [Param(id="email", value_error="missing")]),
    SkipRequest("later"),
    UsageFileAction("text", "code", {"note": "n"}),
    AcceptUsageFile("fine"),
    CloseUsageFile(),
    DeleteUsageFile("not needed"),
    RejectUsageFile("wrong"),
    SubmitUsageFile("please"),
    Retryable("again"),
    Permanent("never"),
    FileCreationError("no file"),
    FileRetrievalError("no template"),
    InvalidUsage(["record 1 (r): quantity is missing", "record 2: record_id is missing"]),
    ServerError(ServerErrorResponse(error_code="E", errors=["one"], params={})),
    *(kind(**API_FACTS) for kind in (ApiError, BadRequest, Unauthorized, Forbidden, NotFound)),
    ServerFault(**API_FACTS),
    RateLimited(retry_after_seconds=2.5, **API_FACTS),
    ConnectionFailed("reset", sent=True),
    AccountPaused("Connect asked for a pause (429)", retry_after_seconds=2.5),
    InvalidResponse(method="GET", path="requests", body="<html>"),
    InvalidDecision("neither"),
    InvalidStep("two steps are named 'tenant'"),
    RetryRequest("the tenant is being made", delay=60, give_up_after=3600),
    RetryDeadlineExceeded("not yet for 3600 s"),
    InvalidDocument("Asset AS-1", {"items[0].quantity": "expected a number"}),
    SettingsError("bad", setting="CONNECT_API_URL"),
    RegistrationError("two for one product"),
    CompatInstallError("connect-sdk is installed"),
    LedgerUnavailable("no answer"),
    DecryptionKeyMissing("no key"),
    CorruptRecord("the stored decision is no JSON"),
    LeaseLost("fence 3 < 4"),
]


def facts(error: Message) -> dict[str, Any]:
    """Everything an error carries, with models as documents so that they can be compared."""
    known = {**error.__dict__, "args": error.args, "text": str(error)}
    return {
        name: getattr(value, "json", value) for name, value in known.items() if name != "params"
    }


def all_classes() -> set[type[Message]]:
    return {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, Message)
    }


def test_there_is_a_sample_of_every_class() -> None:
    assert {type(sample) for sample in SAMPLES} == all_classes()


def test_the_tree_in_the_docstring_names_every_class() -> None:
    assert exceptions.__doc__
    assert all(kind.__name__ in exceptions.__doc__ for kind in all_classes())


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling_with_all_they_carry(error: Message, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(again) is type(error)
    assert facts(again) == facts(error)


def test_the_params_of_an_inquiry_survive_pickling_and_copying() -> None:
    error = InquireRequest(params=[Param(id="email", value_error="missing")])

    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert [param.json for param in again.params] == [{"id": "email", "value_error": "missing"}]


def test_an_error_class_of_a_user_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(VendorFailure(reason="quota", limit=3)))

    assert str(again) == "quota exceeded: 3"
    assert again.limit == 3


class VendorFailure(FailRequest):
    def __init__(self, *, reason: str, limit: int) -> None:
        super().__init__(f"{reason} exceeded: {limit}")
        self.limit = limit


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (FailRequest(), "Request failed", "fail"),
        (InquireRequest(), "Correct user input required", "inquire"),
        (SkipRequest(), "Request skipped", "skip"),
        (FailRequest("no"), "no", "fail"),
        (Message(), "", ""),
    ],
)
def test_decisions_have_the_texts_of_the_2019_sdk(error: Message, text: str, code: str) -> None:
    assert (str(error), error.code) == (text, code)


@pytest.mark.parametrize(
    ("action", "verb", "body"),
    [
        (AcceptUsageFile("fine"), "accept", {"acceptance_note": "fine"}),
        (RejectUsageFile("wrong"), "reject", {"rejection_note": "wrong"}),
        (RejectUsageFile(), "reject", {"rejection_note": "Usage file rejected"}),
        (SubmitUsageFile("please"), "submit", {"rejection_note": "please"}),
        (SubmitUsageFile(), "submit", {}),
        (CloseUsageFile("done"), "close", None),
        (DeleteUsageFile(), "delete", None),
    ],
)
def test_a_usage_file_action_carries_the_body_that_is_posted(
    action: UsageFileAction, verb: str, body: dict[str, Any] | None
) -> None:
    assert action.code == verb
    assert action.data == body
    assert str(action)


def test_message_is_deprecated_but_works() -> None:
    with pytest.warns(DeprecationWarning, match="str"):
        assert FailRequest("no").message == "no"


def test_a_server_error_says_what_the_document_says() -> None:
    document = ServerErrorResponse(error_code="VAL_001", errors=["a", "b"], params={"x": 1})
    error = ServerError(document)

    assert str(error) == "VAL_001: a; b"
    assert error.code == "VAL_001"
    assert error.error is document
    assert error.obj is document


def test_a_server_error_can_be_made_of_an_empty_document() -> None:
    assert str(ServerError(ServerErrorResponse())) == "The server returned an error"


def test_an_api_error_names_the_call_and_the_answer() -> None:
    error = BadRequest(**API_FACTS)

    assert str(error) == (
        "POST requests/PR-1/approve answered 409: VAL_001: already approved; too late"
    )
    assert (error.obj.error_code, error.obj.errors, error.obj.params) == (
        error.error_code,
        error.errors,
        error.params,
    )
    assert (error.status, error.method, error.path) == (409, "POST", "requests/PR-1/approve")


@pytest.mark.parametrize(
    ("status", "kind", "branch"),
    [
        (400, BadRequest, Permanent),
        (401, Unauthorized, Retryable),
        (403, Forbidden, Retryable),
        (404, NotFound, Permanent),
        (409, BadRequest, Permanent),
        (422, BadRequest, Permanent),
        (418, BadRequest, Permanent),
        (429, RateLimited, Retryable),
        (500, ServerFault, Retryable),
        (503, ServerFault, Retryable),
        (302, ServerFault, Retryable),
        (408, ServerFault, Retryable),
        (425, ServerFault, Retryable),
        (499, ServerFault, Retryable),
    ],
)
def test_a_status_has_a_class_which_says_whether_to_try_again(
    status: int, kind: type[ApiError], branch: type[Message]
) -> None:
    error = api_error_class(status)(status=status)

    assert type(error) is kind
    assert isinstance(error, branch)


def test_no_class_is_both_retryable_and_permanent() -> None:
    retryable = {kind for kind in all_classes() if issubclass(kind, Retryable)}
    permanent = {kind for kind in all_classes() if issubclass(kind, Permanent)}

    assert retryable.isdisjoint(permanent)


def test_an_invalid_document_is_a_type_error_as_in_the_2019_sdk() -> None:
    with pytest.raises(TypeError, match=r"Asset can't be loaded: id: expected text"):
        raise InvalidDocument("Asset", {"id": "expected text"})


@pytest.mark.parametrize(
    "error",
    [
        Message(f"sent {KEY}"),
        ApiError(status=400, errors=[f"bad header Authorization: {KEY}"]),
        InvalidResponse(method="GET", path="x", body=f"<pre>{KEY}</pre>"),
        ConnectionFailed(f"headers {{'Authorization': '{KEY}'}}"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_shows_a_key(error: Message) -> None:
    shown = f"{error} {error!r} {error.__dict__}"

    assert "***" in shown
    assert "0123456789abcdef" not in shown


def test_a_page_of_html_is_cut_off() -> None:
    error = InvalidResponse(method="GET", path="requests", body="<" + "x" * 10_000)

    assert len(str(error)) < 300
    assert "GET requests" in str(error)
