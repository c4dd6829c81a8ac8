"""Reports and templates, and what is reported when one does not get through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.domain.retry import Cause, cause_of, classify_account_error
from connect_worker.exceptions import (
    FileCreationError,
    FileRetrievalError,
    InvalidResponse,
    InvalidUsage,
    LeaseLost,
    LedgerUnavailable,
    Message,
    NotFound,
    RateLimited,
    SkipRequest,
)
from connect_worker.models import Product, UsageFile, UsageRecord
from connect_worker.resources import UsageAutomation
from tests.support.scripted_server import KEY, Call, Reply, Server, serving


def record(**fields: Any) -> UsageRecord:
    filled: dict[str, Any] = {
        "record_id": "r",
        "item_search_criteria": "item.mpn",
        "item_search_value": "SKUA",
        "quantity": 1,
        "start_time_utc": "2026-10-01",
        "end_time_utc": "2026-11-01",
        "asset_search_criteria": "asset.id",
        "asset_search_value": "AS-1",
        **fields,
    }
    return UsageRecord(**filled)


# ---- reports that do not get through


DRAFT = Reply(201, {"id": "UF-1", "status": "draft"})
READY = Reply(201, {"id": "UF-1", "status": "ready"})


def automation(server: Server) -> UsageAutomation:
    return UsageAutomation(Config.local(server.url, KEY))


def submit(server: Server) -> UsageFile:
    return automation(server).submit_usage(UsageFile(name="Usage"), [record()])


def test_a_file_is_created_and_then_uploaded() -> None:
    with serving(DRAFT, READY) as server:
        assert submit(server).status == "ready"
        create, upload = server.calls
    assert (create.method, create.path) == ("POST", "/public/v1/usage/files")
    assert create.json == {"name": "Usage"}
    assert (upload.method, upload.path) == ("POST", "/public/v1/usage/files/UF-1/upload")
    assert b'name="usage_file"; filename="usage_file.xlsx"' in upload.body


@pytest.mark.parametrize("status", [200, 201, 204])
def test_an_upload_may_be_answered_with_any_success(status: int) -> None:
    body = None if status == 204 else {"id": "UF-1", "status": "ready"}
    with serving(DRAFT, Reply(status, body)) as server:
        assert submit(server).id == "UF-1"


@pytest.mark.parametrize(
    "script",
    [
        (Reply(400, {"error_code": "VAL_001", "errors": ["no such product"]}),),
        (DRAFT, Reply(400, {"error_code": "VAL_003", "errors": ["no spreadsheet"]})),
        (Reply(201, b"<html>"),),
        (Reply(201),),
        (Reply(201, {"status": "draft"}),),
        (DRAFT, Reply(action="reset")),
    ],
)
def test_a_report_that_fails_is_a_creation_error_with_its_cause(script: tuple[Reply, ...]) -> None:
    with serving(*script) as server, pytest.raises(FileCreationError) as raised:
        submit(server)
    assert isinstance(raised.value.__cause__, Message)
    assert str(raised.value.__cause__) in str(raised.value)


def test_a_429_is_still_known_as_one() -> None:
    reply = Reply(429, headers={"Retry-After": "7"})
    with serving(reply) as server, pytest.raises(FileCreationError) as raised:
        submit(server)
    trouble = classify_account_error(raised.value)
    assert trouble is not None
    assert trouble.asked_seconds == 7
    assert isinstance(raised.value.__cause__, RateLimited)


@pytest.mark.parametrize("error", [LeaseLost("taken over"), LedgerUnavailable("away")])
def test_an_error_of_the_job_is_not_taken_for_one_of_the_file(error: Exception) -> None:
    class Stopped(UsageAutomation):
        def _create(self, usage_file: UsageFile) -> Any:
            raise error

    stopped = Stopped(Config.local("http://127.0.0.1:1", KEY))
    with pytest.raises(type(error)) as raised:
        stopped.submit_usage(UsageFile(name="Usage"), [record()])
    assert raised.value is error


def test_records_that_cannot_be_right_are_reported_before_anything_is_sent() -> None:
    with serving(DRAFT, READY) as server, pytest.raises(InvalidUsage, match="record 2") as raised:
        automation(server).submit_usage(UsageFile(name="Usage"), [record(), record(quantity=None)])
    assert server.calls == []
    assert isinstance(raised.value, FileCreationError)


def test_an_error_of_the_users_generator_is_left_alone() -> None:
    def records() -> Iterator[UsageRecord]:
        yield record()
        raise SkipRequest("the meters are being read")

    with serving(DRAFT, READY) as server, pytest.raises(SkipRequest, match="meters"):
        automation(server).submit_usage(UsageFile(name="Usage"), records())
    assert server.calls == []


# ---- templates


def fetch(play: Any) -> bytes:
    with serving(play) as server:
        return automation(server).get_usage_template(Product(id="PRD-1"))


def test_a_template_is_fetched_from_its_link_without_the_key() -> None:
    calls: list[Call] = []

    def play(call: Call) -> Reply:
        calls.append(call)
        if call.path.endswith("/template"):
            return Reply(body={"template_link": f"http://{call.headers['Host']}/storage/x.xlsx"})
        return Reply(body=b"PK\3\4")

    assert fetch(play) == b"PK\3\4"
    assert calls[0].path == "/public/v1/usage/products/PRD-1/template"
    assert "Authorization" not in calls[1].headers


@pytest.mark.parametrize("body", [None, {}, {"template_link": None}, {"template_link": ""}, []])
def test_a_product_without_a_template_is_reported(body: Any) -> None:
    with pytest.raises(FileRetrievalError, match="PRD-1 has no usage template"):
        fetch(Reply(body=body))


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(404), NotFound),
        (Reply(body=b"<html>"), InvalidResponse),
    ],
)
def test_a_template_that_cannot_be_fetched_is_a_retrieval_error(
    reply: Reply, cause: type[Exception]
) -> None:
    with pytest.raises(FileRetrievalError, match="PRD-1 can't be fetched") as raised:
        fetch(reply)
    assert isinstance(raised.value.__cause__, cause)


@pytest.mark.parametrize("reply", [Reply(403), Reply(401), Reply(429), Reply(503)])
def test_what_a_template_s_storage_refuses_says_nothing_of_the_account(reply: Reply) -> None:
    def play(call: Call) -> Reply:
        if call.path.endswith("/template"):
            return Reply(body={"template_link": f"http://{call.headers['Host']}/storage/x.xlsx"})
        return reply

    with pytest.raises(FileRetrievalError, match="PRD-1 can't be downloaded") as raised:
        fetch(play)
    assert classify_account_error(raised.value) is None
    assert cause_of(raised.value) is Cause.PROCESSOR
