"""Each call that was sent is reported with what went wrong, and one that was not sent is not."""

from __future__ import annotations

import pytest

from connect_worker.exceptions import ApiError, ConnectionFailed
from tests.support.scripted_server import Reply, serving

from .test_rate_limits import Closed, Counting


def test_an_answered_call_is_reported_with_its_duration() -> None:
    reported: list[tuple[str, str, float]] = []
    with serving(Reply(body={})) as server:
        client = server.client(observe=lambda *call: reported.append(call))
        client.post("requests/PR-1/approve", {})
        client.get("requests/PR-1")
    assert [(method, problem) for method, problem, _ in reported] == [("POST", ""), ("GET", "")]
    assert all(0 < seconds < 30 for *_, seconds in reported)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_refusal_is_reported_by_its_status(status: int) -> None:
    reported: list[tuple[str, str, float]] = []
    with serving(Reply(status=status, body={})) as server, pytest.raises(ApiError):
        server.client(observe=lambda *call: reported.append(call)).put("requests/PR-1", {})
    assert [problem for _, problem, _ in reported] == [str(status)]


def test_a_call_without_an_answer_is_reported() -> None:
    reported: list[tuple[str, str, float]] = []
    with serving(Reply()) as server:
        client = server.client(observe=lambda *call: reported.append(call))
    with pytest.raises(ConnectionFailed):
        client.post("requests/PR-1/approve", {})
    assert [problem for _, problem, _ in reported] == ["no answer"]


def test_a_call_that_the_rate_limiter_refuses_is_not_reported() -> None:
    reported: list[tuple[str, str, float]] = []
    with serving(Reply()) as server:
        limiter = Counting(most=0)
        client = server.client(before_call=limiter, observe=lambda *call: reported.append(call))
        with pytest.raises(Closed):
            client.get("requests/PR-1")
    assert reported == []
