"""Finds the endpoint of a path, and carries a call through it."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from connect_worker.sandbox.errors import ApiError, NotFoundError
from connect_worker.sandbox.handlers import (
    catalog,
    control,
    conversations,
    fulfillment,
    tier_config,
    usage,
    vendor,
    webhooks,
)
from connect_worker.sandbox.http import Call, Reply, Route
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import World, kind_of

API = "/public/v1/"
VENDOR = "/vendor/"
CONTROL = "/sandbox/"

_ROUTES = {
    API: [
        *fulfillment.ROUTES,
        *tier_config.ROUTES,
        *usage.ROUTES,
        *catalog.ROUTES,
        *conversations.ROUTES,
        *webhooks.ROUTES,
    ],
    VENDOR: vendor.ROUTES,
    CONTROL: control.ROUTES,
}


@dataclass(frozen=True)
class Match:
    """The route of a call and the values of its path's parts."""

    #: API, VENDOR or CONTROL
    prefix: str
    route: Route
    args: Mapping[str, str]

    @property
    def label(self) -> str:
        """``GET requests/{id}``: how the report names the route."""
        head = self.prefix if self.prefix != API else ""
        return f"{self.route.method} {head}{self.route.path}"

    @property
    def request_id(self) -> str | None:
        """The request that the path names, if it names one."""
        return self.args.get(self.route.about) if self.route.about else None


class Router:
    """All routes, found by their number of parts."""

    def __init__(self) -> None:
        self._compiled: dict[int, list[tuple[re.Pattern[str], str, Route]]] = defaultdict(list)
        for prefix, routes in _ROUTES.items():
            for route in routes:
                full = prefix + route.path
                pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(full))
                self._compiled[full.count("/")].append((re.compile(pattern), prefix, route))

    def match(self, method: str, path: str) -> Match:
        """The route for a path, with or without a trailing slash.

        Raises:
            NotFoundError: no route has this path.
            ApiError: 405, the path takes other methods.
        """
        path = path.rstrip("/")
        allowed = []
        for pattern, prefix, route in self._compiled[path.count("/")]:
            found = pattern.fullmatch(path)
            if found and route.method == method:
                args = {name: unquote(value) for name, value in found.groupdict().items()}
                return Match(prefix, route, args)
            if found:
                allowed.append(route.method)
        if allowed:
            raise ApiError(405, "HTTP_405", f"{path} takes {', '.join(allowed)}, not {method}.")
        raise NotFoundError(path)


def carry_out(match: Match, call: Call) -> Reply:
    """Run the endpoint, turn a refusal into its reply, and note both in the journal."""
    try:
        reply = match.route.endpoint(call)
    except ApiError as refusal:
        reply = refusal_reply(refusal)
        _note_refusal(match, call, refusal)
    note_call(call.world, match, reply.status)
    return reply


def refusal_reply(refusal: ApiError) -> Reply:
    """The answer that carries a refusal."""
    return Reply(status=refusal.status, content=refusal.body())


def note_call(world: World, match: Match, status: int) -> None:
    """Count a call that was answered with this status; calls of the control part do not count."""
    if match.prefix == CONTROL:
        return
    world.journal.call(match.label, status, exact(world.clock()))
    if match.request_id:
        world.journal.entry(match.request_id).calls[match.route.method] += 1


def _note_refusal(match: Match, call: Call, refusal: ApiError) -> None:
    kind = kind_of(match.request_id or "")
    if match.request_id is None or kind is None or call.method == "GET":
        return
    post = {
        "action": "put" if call.method == "PUT" else match.route.path.rpartition("/")[2],
        "status": refusal.status,
        "error": {"error_code": refusal.code, "errors": refusal.messages},
        "at": exact(call.world.clock()),
        "idempotency_key": call.idempotency_key,
    }
    call.world.journal.refuse(kind, match.request_id, post)
