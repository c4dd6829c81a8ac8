"""Every error of the project, under one root.

A processor raises an error of the first branch to decide what happens to a request: these are
decisions, not faults. In the second branch, (R) marks a `Retryable` error: another attempt may
succeed. (P) marks a `Permanent` error: another attempt would fail too, and a person has to act.

    Message                         the root; the 2019 SDK's name for it
     ├─ FailRequest                 decision: fail the request
     ├─ InquireRequest              decision: ask for (better) parameters
     ├─ SkipRequest                 decision: leave it pending, process it again later
     ├─ RetryRequest                not yet: run the processor again after a delay
     ├─ UsageFileAction             decision about a usage file
     │   ├─ AcceptUsageFile
     │   ├─ CloseUsageFile
     │   ├─ DeleteUsageFile
     │   ├─ RejectUsageFile
     │   └─ SubmitUsageFile
     │
     ├─ Retryable  (R)
     ├─ Permanent  (P)
     ├─ FileCreationError           a usage file could not be created or uploaded; its cause says
     │   │                          whether that may succeed later
     │   └─ InvalidUsage       P    its records can't be right: nothing was sent
     ├─ FileRetrievalError     R    a usage template could not be fetched
     ├─ ServerError                 Connect answered with an error document
     │   └─ ApiError                ... to a call of this project's client
     │       ├─ BadRequest     P    400, 409, 422 and the other 4xx
     │       ├─ Unauthorized   R    401: the key is refused, until a person replaces it
     │       ├─ Forbidden      R    403: the key lacks a permission, until a person grants it
     │       ├─ NotFound       P    404
     │       ├─ RateLimited    R    429
     │       └─ ServerFault    R    5xx, and the statuses of a proxy that lost the call
     ├─ ConnectionFailed       R    no answer at all
     ├─ AccountPaused          R    nothing was sent: the account's circuit breaker is open
     ├─ InvalidResponse        R    a success whose body is not the JSON expected
     ├─ InvalidDecision        P    what the processor returned or raised is not a decision
     ├─ RetryDeadlineExceeded  P    the request was snoozed for longer than `give_up_after`
     ├─ InvalidStep            P    a durable step can't be run or journaled
     ├─ InvalidDocument        P    a document does not fit its model; a TypeError too
     ├─ SettingsError          P    a setting is missing or malformed
     ├─ RegistrationError      P    the processors can't be registered
     ├─ CompatInstallError     P    a real `connect` is installed: its name can't be taken
     ├─ LedgerUnavailable      R    the ledger did not answer
     ├─ DecryptionKeyMissing   R    a stored value is encrypted with a key that is missing here
     ├─ CorruptRecord          P    a stored value was damaged, or no worker has stored it there
     └─ LeaseLost                   another worker owns the job now: stop, and write nothing

All of them survive pickling with their attributes. None shows a secret.
"""

# ruff: noqa: N818 - the names are those of the 2019 SDK, or of HTTP statuses

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from connect_worker._deprecated import deprecated_names
from connect_worker.observability.masking import mask_secrets

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__,
        {
            "FulfillmentFail": "exceptions.FailRequest",
            "FulfillmentInquire": "exceptions.InquireRequest",
            "ServerErrorException": "exceptions.ServerError",
            "Skip": "exceptions.SkipRequest",
        },
    )


def _revive(kind: type[Message], args: tuple[Any, ...], state: dict[str, Any]) -> Message:
    """Rebuild a pickled error without calling its constructor."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class Message(Exception):
    """Root of all errors; the 2019 SDK's "base class for all Connect exceptions".

    Args:
        message: What happened; `str(error)` gives it back.
        code: The case in short, such as ``fail`` or an ``error_code`` of Connect.
        obj: More about it, of any shape.

    Examples:
        >>> error = Message("Too late", "late")
        >>> str(error), error.code
        ('Too late', 'late')
    """

    # The documented defaults, for a subclass whose constructor never calls this one.
    code: str = None  # type: ignore[assignment]  # every error that calls it has one
    obj: Any = None

    def __init__(self, message: str = "", code: str = "", obj: Any = None) -> None:
        super().__init__(mask_secrets(str(message)))
        self.code = code
        self.obj = obj

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is normally pickled as "call the class with args", which fails for every
        # constructor that takes something else, and forgets the attributes of those that don't.
        return _revive, (type(self), self.args, dict(self.__dict__))

    @property
    def message(self) -> str:
        """The message. Deprecated by the 2019 SDK (16.0): use `str(error)`."""
        warnings.warn(
            "Message.message is deprecated: use str(error)", DeprecationWarning, stacklevel=2
        )
        return str(self)


class FailRequest(Message):
    """Fail the request being processed; the message becomes the reason that is shown.

    Examples:
        >>> raise FailRequest("We sell 1,000 seats at most")
        Traceback (most recent call last):
            ...
        connect_worker.exceptions.FailRequest: We sell 1,000 seats at most
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "Request failed", "fail")


class ParamLike(Protocol):
    """What `InquireRequest` takes as a parameter; `models.Param` is one.

    Examples:
        >>> email: ParamLike = Param(id="email", value_error="Please give an address")
        >>> email.json
        {'id': 'email', 'value_error': 'Please give an address'}
    """

    id: str
    value_error: str | None

    @property
    def json(self) -> dict[str, Any]:
        """The parameter's document."""


class InquireRequest(Message):
    """Ask the customer or reseller to correct parameters of the request.

    Args:
        message: What goes into the request's conversation.
        params: The parameters to correct, each with its `value_error` set.

    Examples:
        >>> email = Param(id="email", value_error="Please give an address")
        >>> raise InquireRequest("We need an email address", params=[email])
        Traceback (most recent call last):
            ...
        connect_worker.exceptions.InquireRequest: We need an email address
    """

    params: list[ParamLike] = None  # type: ignore[assignment]  # as with `Message.code`

    def __init__(self, message: str = "", params: Sequence[ParamLike] | None = None) -> None:
        super().__init__(message or "Correct user input required", "inquire")
        self.params = list(params or ())


class SkipRequest(Message):
    """Leave the request pending; it is processed again later.

    Examples:
        >>> raise SkipRequest("The contract is not signed yet")
        Traceback (most recent call last):
            ...
        connect_worker.exceptions.SkipRequest: The contract is not signed yet
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "Request skipped", "skip")


class RetryRequest(Message):
    """Snooze the request: what it waits for is not ready; run the processor again after a delay.

    The request does not fail: no attempt is used, and nothing is posted to its conversation. The
    time limit counts from the cycle's first `RetryRequest`. After it, the automation's
    `when_exhausted` decides what happens to the request.

    Args:
        message: What the request waits for; `connect-worker list` and Flower show it.
        delay: Seconds until the next run; None means `CONNECT_SKIP_SECONDS`.
        give_up_after: Seconds since the cycle's first `RetryRequest` after which to stop waiting;
            None means the automation's `give_up_after`, by default a day.

    Raises:
        ValueError: The delay is negative or endless, or the limit is not above 0.

    Examples:
        >>> raise RetryRequest("the tenant is being made", delay=60, give_up_after=3600)
        Traceback (most recent call last):
            ...
        connect_worker.exceptions.RetryRequest: the tenant is being made
    """

    def __init__(
        self, message: str = "", *, delay: float | None = None, give_up_after: float | None = None
    ) -> None:
        if delay is not None and not 0 <= delay < math.inf:
            raise ValueError(f"delay must be a number of seconds, 0 or more, not {delay!r}")
        if give_up_after is not None and not give_up_after > 0:
            raise ValueError(
                f"give_up_after must be a number of seconds above 0, not {give_up_after!r}"
            )
        super().__init__(message or "not yet", "retry")
        self.delay = delay
        self.give_up_after = give_up_after


class UsageFileAction(Message):
    """A decision about a usage file.

    Args:
        message: What `str(error)` says.
        code: The action: the last segment of the path of the POST.
        data: The body of the POST; None for none.

    Examples:
        >>> UsageFileAction("Fine", "accept", {"acceptance_note": "Fine"}).data
        {'acceptance_note': 'Fine'}
    """

    data: dict[str, Any] | None = None

    def __init__(self, message: str, code: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message, code, data)
        self.data = data


class AcceptUsageFile(UsageFileAction):
    """Accept the file, as the provider, with a note.

    Examples:
        >>> AcceptUsageFile("All is right").data
        {'acceptance_note': 'All is right'}
    """

    def __init__(self, acceptance_note: str) -> None:
        super().__init__(
            acceptance_note or "Usage file accepted", "accept", {"acceptance_note": acceptance_note}
        )


class CloseUsageFile(UsageFileAction):
    """Close the file. Connect takes no note with it: the message is for the log.

    Examples:
        >>> str(CloseUsageFile())
        'Usage file closed'
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "Usage file closed", "close")


class DeleteUsageFile(UsageFileAction):
    """Delete the file. Connect takes no note with it: the message is for the log.

    Examples:
        >>> str(DeleteUsageFile("Reported twice"))
        'Reported twice'
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "Usage file deleted", "delete")


class RejectUsageFile(UsageFileAction):
    """Reject the file, as the provider; the message is the note that the vendor reads.

    Examples:
        >>> RejectUsageFile("March is missing").data
        {'rejection_note': 'March is missing'}
    """

    def __init__(self, message: str | None = None) -> None:
        note = message or "Usage file rejected"
        super().__init__(note, "reject", {"rejection_note": note})


class SubmitUsageFile(UsageFileAction):
    """Submit the file to the provider.

    Args:
        rejection_note: The note posted with it; None posts an empty body.

    Examples:
        >>> SubmitUsageFile().data
        {}
    """

    def __init__(self, rejection_note: str | None = None) -> None:
        data = {} if rejection_note is None else {"rejection_note": rejection_note}
        super().__init__(rejection_note or "Usage file submitted", "submit", data)


class Retryable(Message):
    """Another attempt may succeed.

    Examples:
        >>> issubclass(RateLimited, Retryable), issubclass(NotFound, Retryable)
        (True, False)
    """


class Permanent(Message):
    """Another attempt would fail too: a person has to act.

    Examples:
        >>> issubclass(NotFound, Permanent), issubclass(RateLimited, Permanent)
        (True, False)
    """


class FileCreationError(Message):
    """A usage file could not be created, or its records could not be uploaded.

    Its cause (`__cause__`), the error of the call that failed, says whether another attempt helps.

    Examples:
        >>> str(FileCreationError("Connect did not take the file"))
        'Connect did not take the file'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "filecreation")


class InvalidUsage(FileCreationError, Permanent):
    """Usage records are invalid: nothing was created and nothing was sent.

    Args:
        problems: One sentence for each problem, with record and field; long lists are cut off.

    Examples:
        >>> InvalidUsage(["record 1: quantity is missing"]).problems
        ['record 1: quantity is missing']
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("the usage can't be submitted: " + "; ".join(problems))
        self.problems = [mask_secrets(problem) for problem in problems]


class FileRetrievalError(Retryable):
    """A usage template could not be fetched.

    Examples:
        >>> str(FileRetrievalError("the template is gone"))
        'the template is gone'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "fileretrieval")


class ErrorDocument(Protocol):
    """Connect's description of an error; `models.ServerErrorResponse` is one.

    Examples:
        >>> document: ErrorDocument = ErrorFacts(error_code="VAL_001", errors=["Wrong status."])
        >>> document.errors
        ['Wrong status.']
    """

    @property
    def error_code(self) -> str:
        """Connect's code, such as ``VAL_001``."""

    @property
    def errors(self) -> list[str]:
        """Connect's sentences."""

    @property
    def params(self) -> dict[str, Any]:
        """What Connect adds to them, by name."""


@dataclass(frozen=True, kw_only=True)
class ErrorFacts:
    """The plain form of an `ErrorDocument`.

    Examples:
        >>> ErrorFacts(error_code="VAL_001").error_code
        'VAL_001'
    """

    error_code: str = ""
    errors: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)


class ServerError(Message):
    """Connect answered with an error document; `obj` and `error` are the document.

    Examples:
        >>> str(ServerError(ErrorFacts(error_code="VAL_001", errors=["Wrong status."])))
        'VAL_001: Wrong status.'
    """

    def __init__(self, error: ErrorDocument) -> None:
        sentences = "; ".join(str(sentence) for sentence in error.errors or ())
        text = ": ".join(part for part in (error.error_code or "", sentences) if part)
        super().__init__(text or "The server returned an error", error.error_code or "", error)

    @property
    def error(self) -> Any:
        """The error document: `error_code`, `errors`, `params`."""
        return self.obj


class ApiError(ServerError):
    """Connect refused a call, or failed at it.

    Args:
        status: HTTP status.
        error_code: Connect's code, or "" if the body had none.
        errors: Connect's sentences; the body itself if it was no JSON.
        params: What Connect adds to them.
        method: HTTP method of the call.
        path: Path of the call, from the API's base.

    Examples:
        >>> call = {"method": "POST", "path": "requests/PR-1/fail"}
        >>> str(ApiError(status=400, errors=["Wrong status."], **call))
        'POST requests/PR-1/fail answered 400: Wrong status.'
    """

    def __init__(
        self,
        *,
        status: int,
        error_code: str = "",
        errors: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        method: str = "",
        path: str = "",
    ) -> None:
        # Some proxies and gateways answer with whole pages, or echo the request's headers.
        sentences = [mask_secrets(str(sentence))[:2000] for sentence in errors]
        facts = ErrorFacts(error_code=error_code, errors=sentences, params=dict(params or {}))
        super().__init__(facts)
        self.status = status
        self.error_code = facts.error_code
        self.errors = facts.errors
        self.params = facts.params
        self.method = method
        self.path = path

    def __str__(self) -> str:
        call = " ".join(part for part in (self.method, self.path) if part)
        return f"{call or 'Connect'} answered {self.status}: {super().__str__()}"


class BadRequest(ApiError, Permanent):
    """400, 409, 422 and the other 4xx: Connect does not accept this call, now or later.

    Examples:
        >>> BadRequest(status=409).status
        409
    """


class Unauthorized(ApiError, Retryable):
    """401: Connect does not know the key. Every call fails until the key is replaced.

    Examples:
        >>> Unauthorized(status=401).status
        401
    """


class Forbidden(ApiError, Retryable):
    """403: the service user lacks a permission, until a person grants it.

    Examples:
        >>> Forbidden(status=403).status
        403
    """


class NotFound(ApiError, Permanent):
    """404: there is no such object, or not for this account.

    Examples:
        >>> str(NotFound(status=404, method="GET", path="assets/AS-1"))
        'GET assets/AS-1 answered 404: The server returned an error'
    """


class RateLimited(ApiError, Retryable):
    """429: too many calls.

    Args:
        retry_after_seconds: How long Connect asks to wait; None if it names no time.
        **facts: As `ApiError` takes them.

    Examples:
        >>> RateLimited(status=429, retry_after_seconds=30.0).retry_after_seconds
        30.0
    """

    def __init__(self, *, retry_after_seconds: float | None = None, **facts: Any) -> None:
        super().__init__(**facts)
        self.retry_after_seconds = retry_after_seconds


class ServerFault(ApiError, Retryable):
    """5xx: Connect failed. Whether a POST had its effect is unknown.

    The same holds for 408, 425, 499 and a redirection: a proxy lost the call.

    Examples:
        >>> ServerFault(status=502).status
        502
    """


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: ServerFault,
    425: ServerFault,
    429: RateLimited,
    499: ServerFault,
}


def api_error_class(status: int) -> type[ApiError]:
    """Give the class for an HTTP status that is not a success.

    Examples:
        >>> [api_error_class(status).__name__ for status in (404, 422, 503)]
        ['NotFound', 'BadRequest', 'ServerFault']
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return BadRequest if 400 <= status < 500 else ServerFault


class ConnectionFailed(Retryable):
    """No answer came: refused, reset, timed out, or the name did not resolve.

    Args:
        message: What happened.
        sent: Whether the request may have reached Connect; None if that is unknown.

    Examples:
        >>> str(ConnectionFailed("no answer within 30 s", sent=True))
        'no answer within 30 s'
    """

    def __init__(self, message: str, *, sent: bool | None = None) -> None:
        super().__init__(message, "connection")
        self.sent = sent


class AccountPaused(Retryable):
    """A call to Connect was not sent: the account's circuit breaker is open.

    Args:
        reason: Why the breaker is open, in a sentence.
        retry_after_seconds: Seconds until a call may be sent again.

    Examples:
        >>> str(AccountPaused("Connect asked for a pause (429)", retry_after_seconds=9))
        'nothing is sent for 9.0 s: Connect asked for a pause (429)'
    """

    def __init__(self, reason: str, *, retry_after_seconds: float) -> None:
        super().__init__(f"nothing is sent for {retry_after_seconds:.1f} s: {reason}", "paused")
        self.reason = mask_secrets(reason)
        self.retry_after_seconds = retry_after_seconds


class InvalidResponse(Retryable):
    """Connect, or a proxy, gave an answer that can't be used.

    It is no JSON of the expected shape, larger than allowed, or leads to an address that is not
    allowed.

    Args:
        method: HTTP method of the call.
        path: Path of the call, from the API's base.
        body: What was answered instead of the expected JSON.
        problem: What else is wrong, in a sentence.

    Examples:
        >>> str(InvalidResponse(method="GET", path="assets", body="<html>Maintenance</html>"))
        "GET assets answered no usable JSON: '<html>Maintenance</html>'"
        >>> str(InvalidResponse(method="GET", path="assets", problem="the answer is too large"))
        'GET assets: the answer is too large'
    """

    def __init__(self, *, method: str, path: str, body: str = "", problem: str = "") -> None:
        self.method = method
        self.path = path
        #: The first 200 characters; none of a broken document, which may contain a password.
        self.body = _cut(body)
        text = f": {problem}" if problem else f" answered no usable JSON: {self.body!r}"
        super().__init__(f"{method} {path}{text}", "response")


def _cut(body: str) -> str:
    begin = body.lstrip()[:1]
    if begin in ("{", "["):
        return f"{begin}… ({len(body)} characters)"
    return mask_secrets(body)[:200]


class InvalidDecision(Permanent):
    """The processor returned or raised something that is not a decision for this kind of request.

    Examples:
        >>> class Orders(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> str:
        ...         return "approved"
        >>> run(Orders, purchase()).state.value
        'parked'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "decision")


class RetryDeadlineExceeded(Permanent):
    """A request was snoozed for longer than its processor is willing to wait.

    Examples:
        >>> str(RetryDeadlineExceeded("not yet for 3600 s: the tenant is being made"))
        'not yet for 3600 s: the tenant is being made'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "gave-up")


class InvalidStep(Permanent):
    """A durable step can't be run, or its result can't be journaled; the journal stays as it is.

    Two steps have the same name, the order differs from the cycle's earlier run, or a result is no
    JSON or contains a password. The request is parked. Fix the processor; then `connect-worker
    rerun` continues at the first step without a result.

    Examples:
        >>> str(InvalidStep("two steps are named 'tenant'"))
        "two steps are named 'tenant'"
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "step")


class InvalidDocument(Permanent, TypeError):
    """A document does not fit its model.

    Args:
        model: The model's name, and the document's id where it has one.
        errors: The problem by path (``asset.items[0].quantity``); an empty path is the document.

    Examples:
        >>> str(InvalidDocument("Asset", {"items[0].quantity": "not a number"}))
        "Asset can't be loaded: items[0].quantity: not a number"
    """

    def __init__(self, model: str, errors: Mapping[str, str]) -> None:
        self.model = model
        self.errors = dict(errors)
        places = "; ".join(f"{path}: {text}" if path else text for path, text in errors.items())
        super().__init__(f"{model} can't be loaded: {places}", "document")


class SettingsError(Permanent):
    """A setting is missing or malformed; `setting` is its name.

    Examples:
        >>> SettingsError("CONNECT_API_URL not set", setting="CONNECT_API_URL").setting
        'CONNECT_API_URL'
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message, "settings")
        self.setting = setting


class RegistrationError(Permanent):
    """Processors can't be registered: none found, two for one product, or a broken module.

    Examples:
        >>> str(RegistrationError("no automation in my_vendor.processors"))
        'no automation in my_vendor.processors'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "registration")


class CompatInstallError(Permanent):
    """`connect` can't become a name of connect_worker: a real package of that name is installed.

    Examples:
        >>> str(CompatInstallError("connect-sdk is installed"))
        'connect-sdk is installed'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "alias")


class LedgerUnavailable(Retryable):
    """The ledger did not answer. Nothing may be posted without it.

    Examples:
        >>> str(LedgerUnavailable("Redis does not answer"))
        'Redis does not answer'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "ledger")


class DecryptionKeyMissing(Retryable):
    """A value in the ledger is encrypted with a key that this process does not have.

    The request waits, with all stored values, for a worker that has the key.

    Examples:
        >>> issubclass(DecryptionKeyMissing, Retryable)
        True
    """


class CorruptRecord(Permanent):
    """A record in the ledger was damaged, or a value in it was not stored there by a worker.

    Nothing of it is posted, and the request is parked. Look at the request in Connect first. Then
    `connect-worker rerun` drops what is corrupt and processes the request again.

    Examples:
        >>> issubclass(CorruptRecord, Permanent)
        True
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "corrupt")


class LeaseLost(Message):
    """The job's lease expired and another worker owns the job: writes of this job are refused.

    Examples:
        >>> issubclass(LeaseLost, Retryable)
        False
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "lease")
