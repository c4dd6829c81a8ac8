"""Reading a request as Connect shows it now."""

from __future__ import annotations

from connect_worker.domain.kinds import KINDS
from connect_worker.domain.states import JSON, RequestKey, RequestKind
from connect_worker.engine.ports import Connect
from connect_worker.exceptions import NotFound, Retryable

#: What Connect's users can delete; requests stay for ever.
_CAN_GO = (RequestKind.USAGE_FILE, RequestKind.USAGE)


class RequestUnavailable(Retryable):
    """Connect, or something before it, answers 404 for a request that can't be deleted."""


def fetch(connect: Connect, ref: RequestKey) -> JSON:
    """Return the request's document; one that is gone, as a deleted usage file is, says so.

    Only Connect's own error document is believed: a gateway's 404 would end the cycle.

    Raises:
        NotShown: It is not to be had now; it may be later.
        Message: No answer, or none that is a document.
    """
    try:
        return connect.get(f"{KINDS[ref.kind].path}/{ref.request_id}")
    except NotFound as error:
        if ref.kind in _CAN_GO and error.error_code:
            return {"id": ref.request_id, "status": "deleted"}
        raise RequestUnavailable(f"{ref.request_id} can't be read: {error}") from error
