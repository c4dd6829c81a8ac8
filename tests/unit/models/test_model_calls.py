"""The methods of models that ask Connect, against a server that answers as it does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connect_worker.config import Config, use_config
from connect_worker.exceptions import NotFound
from connect_worker.models import Asset, Conversation, Fulfillment, Product, TierConfig


class Connect(ThreadingHTTPServer):
    """Answers by method and path what a test has put there, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, list[str]], Any]] = []
        self.config = Config.local(f"http://127.0.0.1:{self.server_port}", "SU-1:test")


class Handler(BaseHTTPRequestHandler):
    server: Connect

    def answer(self) -> None:
        url = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        call = f"{self.command} {url.path}"
        # An RQL filter has no value; it is kept as a name with a blank one.
        query = parse_qs(url.query, keep_blank_values=True)
        self.server.calls.append((call, query, body))
        found = call in self.server.answers
        content = json.dumps(self.server.answers.get(call, {"errors": ["none"]})).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def connect() -> Iterator[Connect]:
    with Connect() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


TALKS = [
    {"id": "CO-1", "type": "notes", "status": "open"},
    {"id": "CO-2", "type": "conversation", "status": "closed"},
    {"id": "CO-3", "type": "conversation", "status": "open"},
]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(
            {"GET /conversations": TALKS, "GET /conversations/CO-3/messages": [{"text": "hello"}]},
            id="as it is described",
        ),
        pytest.param(
            {
                "GET /conversations": [{"id": "CO-1"}],
                "GET /conversations/CO-1": {"id": "CO-1", "messages": [{"text": "hello"}]},
            },
            id="as in 2019",
        ),
    ],
)
def test_a_conversation_is_found_by_its_request_and_fetched_with_its_messages(
    connect: Connect, answers: Any
) -> None:
    connect.answers = answers
    conversation = Fulfillment(id="PR-1").get_conversation(connect.config)

    assert conversation
    assert [message.text for message in conversation.messages] == ["hello"]
    assert connect.calls[0] == ("GET /conversations", {"instance_id": ["PR-1"]}, None)


@pytest.mark.parametrize("rows", [[], None, [{}], [{"id": None}], TALKS[:1]])
def test_a_request_without_a_conversation_has_none(connect: Connect, rows: Any) -> None:
    connect.answers = {"GET /conversations": rows}

    assert Fulfillment(id="PR-1").get_conversation(connect.config) is None


def test_a_message_is_added_and_given_as_connect_has_it(connect: Connect) -> None:
    connect.answers = {"POST /conversations/CO-1/messages": {"id": "ME-1", "text": "hello"}}
    message = Conversation(id="CO-1").add_message("hello", connect.config)

    assert (message.id, message.text) == ("ME-1", "hello")
    assert connect.calls == [("POST /conversations/CO-1/messages", {}, {"text": "hello"})]


def test_a_message_that_cannot_be_loaded_is_a_type_error(connect: Connect) -> None:
    connect.answers = {"POST /conversations/CO-1/messages": {"text": []}}

    with pytest.raises(TypeError, match="ConversationMessage can't be loaded: text"):
        Conversation(id="CO-1").add_message("hello", connect.config)


def test_the_requests_of_an_asset_are_fetched(connect: Connect) -> None:
    connect.answers = {"GET /assets/AS-1/requests": [{"id": "PR-1"}, {"id": "PR-2"}]}
    requests = Asset(id="AS-1").get_requests(connect.config)

    assert [request.id for request in requests] == ["PR-1", "PR-2"]
    assert all(isinstance(request, Fulfillment) for request in requests)


def test_the_templates_of_a_product_are_fetched(connect: Connect) -> None:
    connect.answers = {"GET /products/PRD-1/templates": [{"id": "TL-1", "body": "# Hi"}]}

    assert [t.body for t in Product(id="PRD-1").get_templates(connect.config)] == ["# Hi"]


def test_the_configurations_of_a_product_are_fetched_by_filter(connect: Connect) -> None:
    rows = [{"value": "a", "parameter": {"id": "p"}}, {"value": "b", "parameter": {"id": "q"}}]
    connect.answers = {"GET /products/PRD-1/configurations": rows}
    found = Product(id="PRD-1").get_product_configurations({"parameter.id": "p"}, connect.config)

    assert [(row.value, row.parameter.id) for row in found] == [("a", "p"), ("b", "q")]
    assert connect.calls[0][0] == "GET /products/PRD-1/configurations"
    assert "eq(parameter.id,p)" in connect.calls[0][1]


def test_a_tier_config_is_that_of_the_first_approved_request(connect: Connect) -> None:
    connect.answers = {"GET /tier/config-requests": [{"configuration": {"id": "TC-1"}}]}
    found = TierConfig.get("TA-1", "PRD-1", connect.config)

    assert found
    assert found.id == "TC-1"
    assert connect.calls[0][1] == {
        "status": ["approved"],
        "configuration.product.id": ["PRD-1"],
        "configuration.account.id": ["TA-1"],
    }


@pytest.mark.parametrize("rows", [[], None, [{}], [{"configuration": None}]])
def test_a_tier_config_that_was_never_approved_is_none(connect: Connect, rows: Any) -> None:
    connect.answers = {"GET /tier/config-requests": rows}

    assert TierConfig.get("TA-1", "PRD-1", connect.config) is None


def test_without_a_config_the_one_in_force_is_asked(connect: Connect) -> None:
    connect.answers = {"GET /products/PRD-1/templates": []}

    with use_config(connect.config):
        assert Product(id="PRD-1").get_templates() == []
    assert len(connect.calls) == 1


def test_what_connect_does_not_know_is_not_found(connect: Connect) -> None:
    with pytest.raises(NotFound):
        Asset(id="AS-1").get_requests(connect.config)
