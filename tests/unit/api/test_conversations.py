"""Which conversation takes messages, and what was said, in both shapes of the API."""

from __future__ import annotations

from typing import Any

import pytest

from connect_worker.api.responses import conversations_in, is_open, messages_of
from tests.support.scripted_server import Call, Reply, error_document, serving

SINCE = "2026-11-30T10:00:00"
SAID = [{"text": "Activated.", "created": "2026-11-30T10:00:01+00:00"}]
LISTED = Reply(body=SAID, headers={"Content-Range": "items 0-0/1"})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"type": "conversation", "status": "open"}, True),
        ({"type": "Conversation", "status": "OPEN"}, True),
        ({}, True),
        ({"type": None, "status": ""}, True),
        ({"type": "conversation", "status": "closed"}, False),
        ({"type": "notes", "status": "open"}, False),
        ({"type": ["conversation"], "status": "open"}, False),
    ],
)
def test_only_an_open_conversation_takes_messages(row: Any, found: bool) -> None:
    rows = conversations_in([{"id": "CO-1", **row}])
    assert [item["id"] for item in rows if is_open(item)] == (["CO-1"] if found else [])


#: How a deployment answers for the collection of messages, with and without a filter.
NONE, REFUSED = Reply(404, error_document("no path")), Reply(400, error_document("no filter"))
NOT_ALLOWED = Reply(405, error_document("only POST"))


@pytest.mark.parametrize(
    ("filtered", "whole", "calls"),
    [
        pytest.param(LISTED, NONE, ["messages?filter"], id="as described"),
        pytest.param(REFUSED, LISTED, ["messages?filter", "messages"], id="without the filter"),
        pytest.param(NONE, NONE, ["messages?filter", ""], id="2019"),
        pytest.param(
            NOT_ALLOWED, NOT_ALLOWED, ["messages?filter", "messages", ""], id="2019, only POST"
        ),
    ],
)
def test_messages_are_read_in_the_shape_that_the_deployment_has(
    filtered: Reply, whole: Reply, calls: list[str]
) -> None:
    made = []

    def play(call: Call) -> Reply:
        is_filtered = f"ge(created,{SINCE}Z)" in call.query
        made.append(
            call.path.partition("/CO-1")[2].lstrip("/") + ("?filter" if is_filtered else "")
        )
        if not call.path.endswith("/messages"):
            return Reply(body={"id": "CO-1", "messages": [*SAID, None]})
        return filtered if is_filtered else whole

    with serving(play) as server:
        assert list(messages_of(server.client(), "CO-1", since=SINCE)) == SAID
    assert made == calls


@pytest.mark.parametrize("since", ["", "yesterday", "2026-11-30T10:00:0)"])
def test_what_is_no_time_is_not_asked_for(since: str) -> None:
    with serving(LISTED) as server:
        assert list(messages_of(server.client(), "CO-1", since=since)) == SAID
        assert [call.query for call in server.calls] == ["limit=500&offset=0"]
