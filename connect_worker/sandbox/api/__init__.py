"""The endpoints: all routes, and the way of a request through one of them.

An endpoint is a function of the sandbox's state and a request that returns a response.
"""

from connect_worker.sandbox.api import accounts, control, requests, usage
from connect_worker.sandbox.documents import with_microseconds
from connect_worker.sandbox.http import (
    API,
    CONTROL,
    VENDOR,
    ApiError,
    Match,
    Request,
    Response,
    Router,
)
from connect_worker.sandbox.memory import SandboxState, kind_of

router = Router(
    {
        API: [*requests.ROUTES, *usage.ROUTES, *accounts.ROUTES],
        VENDOR: accounts.VENDOR_ROUTES,
        CONTROL: [*control.ROUTES, *usage.CONTROL_ROUTES],
    }
)


def dispatch(match: Match, state: SandboxState, request: Request) -> Response:
    """Call the endpoint, make a response of an error, and write both to the journal."""
    try:
        response = match.route.endpoint(state, request)
    except ApiError as refusal:
        response = error_response(refusal)
        _record_refusal(match, state, request, refusal)
    record_call(state, match, response.status)
    return response


def error_response(refusal: ApiError) -> Response:
    """Return the response of an error."""
    return Response(status=refusal.status, content=refusal.body())


def record_call(state: SandboxState, match: Match, status: int) -> None:
    """Count a call and the status of its response; calls under ``/sandbox/`` do not count."""
    if match.prefix == CONTROL:
        return
    state.journal.count_call(match.label, status, with_microseconds(state.clock()))
    if match.request_id:
        state.journal.entry(match.request_id).calls[match.route.method] += 1


def _record_refusal(match: Match, state: SandboxState, request: Request, refusal: ApiError) -> None:
    kind = kind_of(match.request_id or "")
    if match.request_id is None or kind is None or request.method == "GET":
        return
    post = {
        "action": "put" if request.method == "PUT" else match.route.path.rpartition("/")[2],
        "status": refusal.status,
        "error": {"error_code": refusal.code, "errors": refusal.messages},
        "at": with_microseconds(state.clock()),
        "idempotency_key": request.idempotency_key,
    }
    state.journal.refuse(kind, match.request_id, post)
