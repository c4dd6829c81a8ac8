"""Turns what a processor returns or raises into an `Outcome`; the only place that does.

As with the 2019 SDK, a processor decides by what it returns (a template or tile response) or by
what it raises (`InquireRequest`, `FailRequest`, `SkipRequest`, a usage file's action). Any other
exception is not a decision: it is passed on, and the caller retries or parks the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connect_worker.domain.api_calls import FILE_ACTIONS, SKIP_TEXT
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
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.exceptions import (
    FailRequest,
    InquireRequest,
    InvalidDecision,
    SkipRequest,
    UsageFileAction,
)
from connect_worker.models.common import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    param_document,
)

INQUIRE_TEXT = "Correct user input required"
FAIL_TEXT = "Request failed"


def interpret(kind: RequestKind, process: Callable[[], object]) -> Outcome:
    """Run the processor and return its decision.

    Raises:
        InvalidDecision: The result or the exception is not a decision for this kind.
        RuntimeError: The processor called `sys.exit`, which would end the whole process.
    """
    try:
        result = process()
    except InquireRequest as exc:
        _allow(kind, exc, RequestKind.FULFILLMENT, RequestKind.TIER_CONFIG)
        return Inquire(str(exc) or INQUIRE_TEXT, [_param(param) for param in exc.params or ()])
    except FailRequest as exc:
        _allow(kind, exc, RequestKind.FULFILLMENT, RequestKind.TIER_CONFIG)
        return Fail(str(exc) or FAIL_TEXT)
    except SkipRequest as exc:
        return Skip(str(exc) or SKIP_TEXT)
    except UsageFileAction as exc:
        _allow(kind, exc, RequestKind.USAGE_FILE)
        return _file_action(exc)
    except SystemExit as exc:
        if _ends_process(exc):
            raise
        raise RuntimeError(
            f"the processor called sys.exit({exc.code!r}), which decides nothing: raise "
            "FailRequest, SkipRequest or RetryRequest"
        ) from exc
    return _interpret_result(kind, result)


def _ends_process(exc: SystemExit) -> bool:
    """Whether a signal to the process caused it: billiard then exits with signal - 256."""
    return isinstance(exc.code, int) and -256 < exc.code < -128


def _interpret_result(kind: RequestKind, result: object) -> Outcome:
    if kind is RequestKind.USAGE:
        return Report(str(result)) if result else NoDecision()
    if kind is RequestKind.USAGE_FILE:
        raise InvalidDecision(
            "the processor of a usage file must raise AcceptUsageFile, RejectUsageFile, "
            "SubmitUsageFile, CloseUsageFile, DeleteUsageFile or SkipRequest; "
            f"it returned {result!r}"
        )
    if not result:
        return NoDecision()
    if isinstance(result, ActivationTemplateResponse):
        if not (result.template_id and isinstance(result.template_id, str)):
            raise InvalidDecision("the ActivationTemplateResponse names no template")
        return Approve(template_id=result.template_id)
    if isinstance(result, ActivationTileResponse):
        if not (result.tile and isinstance(result.tile, str | dict)):
            raise InvalidDecision(
                "the tile of the ActivationTileResponse must be Markdown or a document; "
                f"it is {type(result.tile).__name__}"
            )
        return Approve(tile=result.tile)
    raise InvalidDecision(
        "process_request must return an ActivationTemplateResponse or an "
        f"ActivationTileResponse, or nothing; it returned {type(result).__name__}"
    )


def _file_action(exc: UsageFileAction) -> FileAction:
    if exc.code not in FILE_ACTIONS:
        raise InvalidDecision(
            f"{type(exc).__name__} asks for {exc.code!r}; it must be one of "
            f"{', '.join(FILE_ACTIONS)}"
        ) from exc
    return FileAction(exc.code, None if exc.data is None else dict(exc.data))


def _allow(kind: RequestKind, exc: Exception, *kinds: RequestKind) -> None:
    if kind not in kinds:
        raise InvalidDecision(f"{type(exc).__name__} decides nothing for a {kind} request") from exc


def _param(param: Any) -> dict[str, JSON]:
    """The fields that Connect takes for a parameter: its id, value, error and structured value."""
    try:
        document = param_document(param)
    except TypeError as exc:
        raise InvalidDecision(f"InquireRequest: {exc}") from exc
    names = ("id", "value", "value_error", "structured_value")
    return {name: document[name] for name in names if document.get(name) is not None}
