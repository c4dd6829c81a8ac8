"""Every error of the project, under one root.

The first branch is what a processor raises to say what shall become of a request: decisions, not
faults. In the second, a class that is also `Retryable` may succeed when the same thing is tried
again; one that is also `Permanent` will not, and waits for a person. (R = retryable, P = permanent)

    Message                         the root; the 2019 SDK's name for it
     ├─ FailRequest                 decision: fail the request
     ├─ InquireRequest              decision: ask for (better) parameters
     ├─ SkipRequest                 decision: leave it pending, look again later
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
     │       ├─ Unauthorized   R    401: the key is refused, until somebody mends it
     │       ├─ Forbidden      R    403: likewise
     │       ├─ NotFound       P    404
     │       ├─ RateLimited    R    429
     │       └─ ServerFault    R    5xx, and what a proxy says that has lost the call
     ├─ ConnectionFailed       R    no answer at all
     ├─ AccountPaused          R    nothing was sent: the account pauses, for all its workers
     ├─ InvalidResponse        R    a success whose body is not the JSON expected
     ├─ InvalidDecision        P    what the processor returned or raised decides nothing
     ├─ RetryDeadlineExceeded  P    it was "not yet" for longer than the processor waits
     ├─ InvalidStep            P    a durable step that can't be run or journaled
     ├─ InvalidDocument        P    a document that no model can be made of; a TypeError too
     ├─ SettingsError          P    a setting is missing or malformed
     ├─ RegistrationError      P    the processors can't be registered
     ├─ AliasRefused           P    a real `connect` is where connect_worker was to take its name
     ├─ LedgerUnavailable      R    the ledger did not answer
     ├─ DecryptionKeyMissing   R    a stored value is encrypted with a key that is not here
     └─ LeaseLost                   somebody else owns the job now: stop, and write nothing

All of them survive pickling with their attributes, and none shows a secret.
"""

# ruff: noqa: N818 - the names are the 2019 SDK's, or the ones that HTTP gives to its answers

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from connect_worker._deprecated import earlier
from connect_worker.observability.masking import mask_secrets

if not TYPE_CHECKING:
    __getattr__ = earlier(
        __name__,
        {
            "FulfillmentFail": "exceptions.FailRequest",
            "FulfillmentInquire": "exceptions.InquireRequest",
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
    """Leave the request pending; it is looked at again later.

    Examples:
        >>> raise SkipRequest("The contract is not signed yet")
        Traceback (most recent call last):
            ...
        connect_worker.exceptions.SkipRequest: The contract is not signed yet
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "Request skipped", "skip")


class RetryRequest(Message):
    """Not yet: what the request waits for is not ready; run the processor again after a delay.

    The request waits, and does not fail: no attempt is used up, nothing is said in its
    conversation. The limit in time counts from the cycle's first `RetryRequest`; when it is over,
    `when_exhausted` of the automation says what becomes of the request.

    Args:
        message: What it waits for; people see it in `connect-worker list` and Flower.
        delay: Seconds until the next run; None for `CONNECT_SKIP_SECONDS`.
        give_up_after: Seconds since the cycle's first "not yet" after which to wait no longer; None
            for the automation's own `give_up_after`, a day unless it says otherwise.

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
            raise ValueError(f"a delay is a number of seconds, 0 or more, not {delay!r}")
        if give_up_after is not None and not give_up_after > 0:
            raise ValueError(f"give_up_after is a number of seconds above 0, not {give_up_after!r}")
        super().__init__(message or "not yet", "retry")
        self.delay = delay
        self.give_up_after = give_up_after


class UsageFileAction(Message):
    """A decision about a usage file.

    Args:
        message: What `str(error)` says.
        code: The action, which is the last segment of the path that is posted to.
        data: The body that is posted; None posts none.

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
    """The same thing may succeed when it is tried again.

    Examples:
        >>> issubclass(RateLimited, Retryable), issubclass(NotFound, Retryable)
        (True, False)
    """


class Permanent(Message):
    """Trying again won't help: a person has to look at it.

    Examples:
        >>> issubclass(NotFound, Permanent), issubclass(RateLimited, Permanent)
        (True, False)
    """


class FileCreationError(Message):
    """A usage file could not be created, or its records not be uploaded.

    Whether to try again is a matter of its cause (`__cause__`), the error of the call that failed.

    Examples:
        >>> str(FileCreationError("Connect did not take the file"))
        'Connect did not take the file'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "filecreation")


class InvalidUsage(FileCreationError, Permanent):
    """Usage records can't be right, so that nothing was created and nothing sent.

    Args:
        problems: What is wrong, a sentence each, by record and field; long lists are cut off.

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
    """What Connect says about an error; `models.ServerErrorResponse` is one.

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
    """Connect answered with an error document, which is at hand as `obj` and `error`.

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
        error_code: Connect's code, or an empty text where the body had none.
        errors: Connect's sentences; the body itself where it was no JSON.
        params: What Connect adds to them.
        method: HTTP method of the call.
        path: Path of the call, from the API's base.

    Examples:
        >>> call = {"method": "POST", "path": "requests/PR-1/fail/"}
        >>> str(ApiError(status=400, errors=["Wrong status."], **call))
        'POST requests/PR-1/fail/ answered 400: Wrong status.'
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
    """400, 409, 422 and the other 4xx: Connect does not take this call, now or later.

    Examples:
        >>> BadRequest(status=409).status
        409
    """


class Unauthorized(ApiError, Retryable):
    """401: Connect does not know the key. Every call fails alike until it is mended.

    Examples:
        >>> Unauthorized(status=401).status
        401
    """


class Forbidden(ApiError, Retryable):
    """403: the key's account may not do this. A person grants it, then it works.

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
        retry_after_seconds: How long Connect asks to wait; None where it did not say.
        **facts: As `ApiError` takes them.

    Examples:
        >>> RateLimited(status=429, retry_after_seconds=30.0).retry_after_seconds
        30.0
    """

    def __init__(self, *, retry_after_seconds: float | None = None, **facts: Any) -> None:
        super().__init__(**facts)
        self.retry_after_seconds = retry_after_seconds


class ServerFault(ApiError, Retryable):
    """5xx: Connect broke. Whether a POST had its effect is unknown.

    So is what a proxy says that has lost the call: 408, 425, 499, and a redirection.

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
    """Give the class for an HTTP status that is no success.

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
        sent: Whether the request may have reached Connect; None where that can't be known.

    Examples:
        >>> str(ConnectionFailed("no answer within 30 s", sent=True))
        'no answer within 30 s'
    """

    def __init__(self, message: str, *, sent: bool | None = None) -> None:
        super().__init__(message, "connection")
        self.sent = sent


class AccountPaused(Retryable):
    """A call to Connect was not sent, since the account pauses.

    Args:
        reason: What ails the account, in a sentence.
        retry_after_seconds: When the pause ends.

    Examples:
        >>> str(AccountPaused("Connect asked for a pause (429)", retry_after_seconds=9))
        'nothing is sent for 9.0 s: Connect asked for a pause (429)'
    """

    def __init__(self, reason: str, *, retry_after_seconds: float) -> None:
        super().__init__(f"nothing is sent for {retry_after_seconds:.1f} s: {reason}", "paused")
        self.reason = mask_secrets(reason)
        self.retry_after_seconds = retry_after_seconds


class InvalidResponse(Retryable):
    """Connect (or something in between) answered a success whose body isn't the JSON expected.

    Examples:
        >>> str(InvalidResponse(method="GET", path="assets", body="<html>Maintenance</html>"))
        "GET assets answered no usable JSON: '<html>Maintenance</html>'"
    """

    def __init__(self, *, method: str, path: str, body: str) -> None:
        self.method = method
        self.path = path
        #: The first 200 characters; of a broken document none, it may hold anybody's password.
        self.body = _cut(body)
        super().__init__(f"{method} {path} answered no usable JSON: {self.body!r}", "response")


def _cut(body: str) -> str:
    begin = body.lstrip()[:1]
    if begin in ("{", "["):
        return f"{begin}… ({len(body)} characters)"
    return mask_secrets(body)[:200]


class InvalidDecision(Permanent):
    """What a processor returned or raised decides nothing for this kind of request.

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
    """A request was "not yet" for longer than its processor is willing to wait.

    Examples:
        >>> str(RetryDeadlineExceeded("not yet for 3600 s: the tenant is being made"))
        'not yet for 3600 s: the tenant is being made'
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "gave-up")


class InvalidStep(Permanent):
    """A durable step can't be run, or its result not be journaled; what is journaled stays.

    Two steps have one name, the order is another than it was when the cycle's first steps were
    done, a result is no JSON, or holds a password. The request is parked: mend the processor, then
    `connect-worker rerun` goes on at the first step without a result.

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
        errors: What is wrong, by path (``asset.items[0].quantity``); an empty path is the document.

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


class AliasRefused(Permanent):
    """`connect` can't be made a name of connect_worker: a real package of that name is there.

    Examples:
        >>> str(AliasRefused("connect-sdk is installed"))
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

    The request waits, with all that is stored of it, for a worker that has the key.

    Examples:
        >>> issubclass(DecryptionKeyMissing, Retryable)
        True
    """


class LeaseLost(Message):
    """The job's lease ran out and somebody else owns it: the writes of this one are refused.

    Examples:
        >>> issubclass(LeaseLost, Retryable)
        False
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, "lease")
