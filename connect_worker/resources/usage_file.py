"""Automation of the workflow of usage files: submit, accept, reject, close, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from connect_worker.domain.states import RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.usage import UsageFile
from connect_worker.resources.automation import Automation


class UsageFileAutomation(Automation[UsageFile]):
    """Decides usage files: subclass it and implement `process_request`.

    Raise `SubmitUsageFile`, `AcceptUsageFile`, `RejectUsageFile`, `CloseUsageFile` or
    `DeleteUsageFile`, or `SkipRequest` to leave the file as it is. Any other exception is retried;
    to return is an error. Files are polled in the status that `filters` asks for, `ready` by
    default.

    Examples:
        >>> class Reviews(UsageFileAutomation):
        ...     def process_request(self, request: UsageFile) -> None:
        ...         raise SubmitUsageFile()
        >>> run(Reviews, usage_file(id="UF-1")).calls[0].path
        'usage/files/UF-1/submit'
    """

    kind = RequestKind.USAGE_FILE
    model_class: ClassVar[type[BaseModel]] = UsageFile
    request_class: ClassVar[type[BaseModel]] = UsageFile

    def filters(
        self, status: str | Sequence[str] | None = "ready", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)
