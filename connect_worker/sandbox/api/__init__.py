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
    BadRequestError,
    Match,
    NotFoundError,
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
        response = _undescribed(match, state, request) or match.route.endpoint(state, request)
    except ApiError as refusal:
        response = error_response(refusal)
        _record_refusal(match, state, request, refusal)
    record_call(state, match, response.status)
    return response


#: The actions whose paths ended in a slash, as those of usage files did not.
_SLASH_IN_2019 = ("/approve", "/inquire", "/fail", "/pend", "/upload", "/template")
_NOT_IN_2019 = ("GET conversations/{id}/messages",)


def _undescribed(match: Match, state: SandboxState, request: Request) -> Response | None:
    """Return the error for what the chosen version of the API does not have; None if it has it."""
    if match.prefix != API:
        return None
    has_slash = request.path.endswith("/")
    if not state.options.is_of_2019:
        return error_response(NotFoundError(request.path)) if has_slash else None
    needs_slash = match.route.path.endswith(_SLASH_IN_2019) or match.label == "POST usage/files"
    if match.label in _NOT_IN_2019 or (needs_slash and not has_slash):
        return error_response(NotFoundError(request.path))
    if "select(" in request.query:
        return error_response(BadRequestError("Bad filter query: select.", code="RQL_001"))
    return None


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
