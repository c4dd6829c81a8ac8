"""Reading a request as Connect shows it now."""

from __future__ import annotations

from connect_worker.engine.ports import Connect
from connect_worker.exceptions import NotFound
from connect_worker.processing.kinds import KINDS
from connect_worker.processing.states import JSON, Ref


def read(connect: Connect, ref: Ref) -> JSON:
    """Return the request's document; one that is gone, as a deleted usage file is, says so.

    Raises:
        Message: No answer, or none that is a document.
    """
    try:
        return connect.get(f"{KINDS[ref.kind].path}/{ref.request_id}")
    except NotFound:
        return {"id": ref.request_id, "status": "deleted"}
