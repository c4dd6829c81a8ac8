"""What Connect says when it refuses something."""

from __future__ import annotations

from typing import Any

from connect_worker.models.base import BaseModel, absent


class ServerErrorResponse(BaseModel):
    """The body of an answer that is no success.

    Examples:
        >>> refusal = {"error_code": "VAL_001", "errors": ["Wrong status."]}
        >>> ServerErrorResponse.deserialize_json(refusal).errors
        ['Wrong status.']
    """

    #: Such as ``VAL_001``.
    error_code: str = absent
    #: Sentences.
    errors: list[str] = absent
    params: dict[str, Any] = absent
