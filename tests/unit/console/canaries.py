"""Plants a text that would run into each field that a customer, a vendor or Connect can set."""

from __future__ import annotations

from urllib.parse import urlencode

from connect_worker.domain.states import PollProblem, PollReport, RequestKey, RequestKind
from tests.support.console_data import LONG, ConsoleData, evil

PARKED = RequestKey(RequestKind.FULFILLMENT, f"PR-{evil('id')}")
SUPERSEDED = RequestKey(RequestKind.TIER_CONFIG, "TCR-1")
HELD = RequestKey(RequestKind.USAGE_FILE, "UF-1")

#: What each page shows; where it is looked at by whom may act.
BOARD = ("gate", "poll", "pause name", "pause reason", "status")
LIST = ("id", "product", "error")
STORY = ("id", "product", "error", "worker", "reason", "field", "step")


def plant(scene: ConsoleData) -> None:
    """Leave canaries in a ledger."""
    scene.begin(PARKED, at=scene.now - 60, product=evil("product"))
    claim = scene.claim(PARKED, at=scene.now - 50, worker=evil("worker"))
    scene.past.decide(
        claim, {"decision": {"type": "fail", "reason": evil("reason"), evil("field"): 1}}
    )
    scene.past.record_step(claim, evil("step"), None)
    scene.past.park(claim, evil("error"))
    scene.begin(SUPERSEDED, at=scene.now - 60, cycle=evil("earlier cycle"))
    scene.begin(SUPERSEDED, at=scene.now - 50, cycle=evil("cycle"))
    claim = scene.claim(SUPERSEDED, at=scene.now - 40)
    scene.at(scene.now)
    scene.past.supersede(claim, evil("status"), keep_seconds=LONG)
    scene.past.pause(evil("pause name"), reason=evil("pause reason"))
    scene.past.pause("usage-file", reason="no")
    scene.begin(HELD, at=scene.now - 5, cycle="1")
    scene.at(scene.now)
    scene.past.claim(HELD, owner="w:1", lease_seconds=LONG)
    report = PollReport(problem=PollProblem.FAILED, detail=evil("poll"))
    scene.ledger.record_poll(RequestKind.FULFILLMENT, report)
    scene.ledger.trip_breaker(seconds=0, reason=evil("gate"), failed=True)


def pages() -> dict[str, tuple[str, ...]]:
    """The pages, and which canaries each has to show."""
    query = {name: evil(name) for name in ("product", "id", "error", "order", "account2")}
    return {
        "/": BOARD,
        "/requests": LIST,
        "/requests?state=queued": (),
        "/requests?state=all": LIST,
        f"/request?{urlencode({'id': PARKED.id})}": STORY,
        "/request?id=TCR-1": ("cycle", "earlier cycle", "status"),
        "/request?id=UF-1": (),
        f"/requests?{urlencode(query)}": ("product", "id", "error"),
        f"/request?{urlencode({'id': evil('asked')})}": ("asked",),
        f"/login?{urlencode({'next': evil('next')})}": (),
        f"/?{urlencode({'account': evil('account')})}": (),
        f"/{evil('path')}": (),
        f"/requests?{urlencode({'state': evil('state')})}": (),
        f"/result?{urlencode({'token': evil('token')})}": (),
    }
