"""Several accounts in one console."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import redis

from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.console_client import PASSWORD, Served, serving
from tests.support.console_data import ConsoleData, evil

from .test_injection import Markup

PR = RequestKey(RequestKind.FULFILLMENT, "PR-1")
PROGRAM = f"""
import os, sys
from connect_worker.console.pages import Account, Deployment
from connect_worker.console.server import serve
from connect_worker.ledger.redis import RedisLedger

accounts = {{name: Account(RedisLedger.from_url(os.environ["CONNECT_REDIS_URL"], account=name[:5]))
           for name in ("north", "south & co", {evil("name")!r})}}
say = lambda port: print(f"console at http://127.0.0.1:{{port}}/", file=sys.stderr, flush=True)
serve(Deployment(accounts, password={PASSWORD!r}), address="127.0.0.1", port=0, ready=say)
"""


@pytest.fixture(scope="module")
def several(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("several")
    with serving(redis_url, folder, command=("-c", PROGRAM)) as served:
        yield served


def test_each_account_has_its_pages_and_its_requests(
    several: Served, scene: ConsoleData, client: redis.Redis
) -> None:
    north, south = ConsoleData(client, "north"), ConsoleData(client, "south")
    for account in (north, south):
        account.park(PR, "broken", at=account.now - 60, product=str(id(account)))
    operator = several.operator()
    board = operator.page("/")
    assert Markup(board).odd == []
    links = re.findall(r'href="(/\?account=[^"]+)"', board)
    assert len(links) == 3
    other = operator.page(links[1])
    href, *_ = re.findall(r'href="(/requests\?account=south[^"]*kind=fulfillment)"', other)
    page = operator.page(href.replace("&amp;", "&"))
    assert str(id(south)) in page
    assert str(id(north)) not in page

    operator.agree(operator.ask("rerun", PR, account="south & co"))
    states = [account.ledger.get_record(PR) for account in (north, south)]
    assert [state and state.state for state in states] == [State.PARKED, State.QUEUED]

    operator.post("/pause", {"name": "usage", "account": "south & co"})
    assert [set(account.ledger.pauses()) for account in (north, south)] == [set(), {"usage"}]


def test_an_account_that_there_is_not_is_reported(several: Served) -> None:
    answer = several.operator().get("/?account=west")
    assert answer.status_code == 404
    assert "There is no such account" in answer.text
