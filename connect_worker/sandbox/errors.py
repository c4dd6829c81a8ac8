"""What the sandbox answers when it refuses a call.

ApiError            any refusal: an HTTP status and a Connect error body
├── BadRequestError      400, the caller must change the call
├── UnauthorizedError    401, no valid key
├── ForbiddenError       403, a valid key without the right
└── NotFoundError        404, no such path or object
"""

from typing import Any


class ApiError(Exception):
    """A refusal with the status and the body that Connect sends for it."""

    def __init__(
        self, status: int, code: str, *messages: str, params: dict[str, Any] | None = None
    ) -> None:
        super().__init__(status, code, *messages)
        self.status = status
        self.code = code
        self.messages = list(messages)
        self.params = params or {}

    def body(self) -> dict[str, Any]:
        """The JSON document: ``error_code``, ``errors`` and ``params``."""
        return {"error_code": self.code, "errors": self.messages, "params": self.params}


class BadRequestError(ApiError):
    """400: the call cannot be accepted as it is."""

    def __init__(
        self, *messages: str, code: str = "VAL_001", params: dict[str, Any] | None = None
    ) -> None:
        super().__init__(400, code, *messages, params=params)


class UnauthorizedError(ApiError):
    """401: the ``Authorization`` header carries no key that the sandbox knows."""

    def __init__(self) -> None:
        super().__init__(401, "AUTH_001", "API request is unauthorized.")


class ForbiddenError(ApiError):
    """403: the key is known but belongs to the other side of the marketplace."""

    def __init__(self, message: str) -> None:
        super().__init__(403, "AUTH_002", message)


class NotFoundError(ApiError):
    """404: nothing is stored under this address."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "NF_001", f"Object not found: {what}.")
