"""What nobody has signed is refused, before its body is read; it calls no Connect, wakes nobody."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.webhook_stack import (
    NOT_CLAIMS,
    SECRET,
    WebhookStack,
    running_webhook_stack,
    signed,
    signed_text,
)

pytestmark = [pytest.mark.faults]

ONE = {"id": "PR-0000-0000-0000-001"}
OTHER_SECRET = "another secret, just as long as it".replace(" ", "-")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookStack]:
    """A receiver without workers: a message would lie in its queue."""
    directory: Path = tmp_path_factory.mktemp("receiver")
    with running_webhook_stack(directory) as stack:
        stack.seed(fulfillment=1)
        stack.receive()
        yield stack


@pytest.fixture(autouse=True)
def nothing_happened(receiver: WebhookStack) -> Iterator[None]:
    """Hold each test to it: no call, no message, nothing noted down."""
    calls, noted = receiver.calls(), receiver.ledger().stale_hints(limit=9, requeue_seconds=0)
    yield
    assert receiver.calls() == calls
    assert receiver.ledger().stale_hints(limit=9, requeue_seconds=0) == noted == []
    assert receiver.queued() == 0


def unsigned(algorithm: str) -> str:
    """A token that says it needs no signature."""
    parts = ({"alg": algorithm, "typ": "JWT"}, {"exp": int(time.time()) + 60})
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join(texts).decode() + "."


FORGED: dict[str, Any] = {
    "another secret": lambda: signed(OTHER_SECRET),
    "no algorithm": lambda: unsigned("none"),
    "no algorithm, in capitals": lambda: unsigned("NONE"),
    "a claimed one without a signature": lambda: unsigned("HS256"),
    "HS512 with the right secret": lambda: signed(algorithm="HS512"),
    "HS384 with the right secret": lambda: signed(algorithm="HS384"),
    "expired": lambda: signed(exp=int(time.time()) - 3600),
    "days old": lambda: signed(iat=int(time.time()) - 90_000, exp=None),
    "from tomorrow": lambda: signed(iat=int(time.time()) + 86_400, exp=None),
    "not valid yet": lambda: signed(nbf=int(time.time()) + 3600),
    "an odd time": lambda: signed(iat="yesterday", exp=None),
    "an endless time": lambda: signed(exp=1e400),
    "an odd name": lambda: signed(jti=5),
    "no token": lambda: "",
    "half a token": lambda: signed()[:40],
    "no text": lambda: "....",
    "a long one": lambda: "a" * 5000,
    "a long, signed one": lambda: signed(more="x" * 5000),
    "a huge one": lambda: "a" * 60_000,
}


@pytest.mark.parametrize("token", FORGED.values(), ids=list(FORGED))
def test_a_forged_notification_is_refused(receiver: WebhookStack, token: Any) -> None:
    answer = receiver.post(ONE, token=token())
    assert (answer.status_code, answer.json()) == (401, {"verdict": "refused"})


def test_a_signed_claim_that_is_no_time_or_no_text_is_refused(receiver: WebhookStack) -> None:
    answers = [receiver.post(ONE, token=signed_text(claims)) for claims in NOT_CLAIMS]
    assert {answer.status_code for answer in answers} == {401}
    assert "Traceback" not in receiver.whole_log("receiver")


def test_a_changed_claim_is_noticed(receiver: WebhookStack) -> None:
    header, claims, signature = signed(exp=int(time.time()) - 9999).split(".")
    document = json.loads(base64.urlsafe_b64decode(claims + "=="))
    document["exp"] += 99_999
    changed = base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
    assert receiver.post(ONE, token=f"{header}.{changed}.{signature}").status_code == 401


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "ApiKey SU-1:x", "bearer  ", "é"])
def test_another_authorization_is_none(receiver: WebhookStack, header: str) -> None:
    encoded: Any = header.encode("latin-1")
    assert receiver.post(ONE, headers={"Authorization": encoded}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[1]", 400),
        ('"PR-1"', 400),
        ("null", 400),
        ("\xff\xfe", 400),
        ("[" * 100_000, 400),
        ('{"a":' * 40_000, 400),
        ('{"object_class": "usage_file"}', 400),
        ('{"object_class": ["fulfillment_request"]}', 400),
        ("{}" + " " * 300_000, 413),
    ],
)
def test_a_signed_body_that_is_no_notification_is_refused(
    receiver: WebhookStack, body: str, status: int
) -> None:
    assert receiver.post(content=body.encode("latin-1")).status_code == status


@pytest.mark.parametrize("path", ["/", "/orders", "/fulfillment_request/", "/x/billing_request"])
def test_another_place_takes_nothing(receiver: WebhookStack, path: str) -> None:
    # A slash at the end is the same place: there the signature is looked at.
    expected = 401 if path.endswith("t/") else 404
    assert receiver.post(ONE, path=path, token="x").status_code == expected


def test_another_content_type_is_refused(receiver: WebhookStack) -> None:
    for sort in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert receiver.post(ONE, headers={"Content-Type": sort}).status_code == 415


def test_nothing_but_a_post_is_taken(receiver: WebhookStack) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = requests.request(method, f"{receiver.url}/fulfillment_request", timeout=10)
        assert answer.status_code == 405, method


@pytest.mark.parametrize("token", [signed(), "forged"], ids=["signed", "forged"])
@pytest.mark.parametrize("length", ["104857600", "9" * 30, "9" * 5000, "-1", "1, 1", ""])
def test_a_huge_one_is_refused_before_it_is_read(
    receiver: WebhookStack, token: str, length: str
) -> None:
    """A hundred megabytes, as a stream: the answer is there before the first of them is sent."""
    said = f"Content-Length: {length}\r\n" if length else "Transfer-Encoding: chunked\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as stream:
        stream.sendall(
            f"POST /fulfillment_request HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\n{said}\r\n".encode()
        )
        status = stream.recv(4096).split(b" ")[1]
        assert status in (b"400", b"401", b"411", b"413")
        sent = send_until_closed(stream, megabytes=100)
    assert sent < 20, "the rest was not read"


def send_until_closed(stream: socket.socket, *, megabytes: int) -> int:
    """How many megabytes the other side let through."""
    chunk = b"x" * 2**20
    for number in range(megabytes):
        try:
            stream.sendall(chunk)
        except OSError:
            return number
    return megabytes


def test_a_flood_of_garbage_is_refused_and_reported_in_sums(receiver: WebhookStack) -> None:
    """Two thousand, over kept and new connections; the log has a few lines a second."""
    before = len(receiver.whole_log("receiver").splitlines())
    began = time.monotonic()
    refused = 0
    with requests.Session() as session:
        for number in range(2000):
            refused += (
                session.post(
                    f"{receiver.url}/fulfillment_request",
                    data=b"garbage",
                    headers={
                        "Authorization": f"Bearer {number}",
                        "Content-Type": "application/json",
                    },
                    timeout=10,
                ).status_code
                == 401
            )
    seconds = time.monotonic() - began
    assert refused == 2000
    lines = receiver.whole_log("receiver").splitlines()[before:]
    assert len(lines) <= 10 * (seconds + 2)
    assert any("suppressed=" in line for line in lines)


def test_no_secret_and_no_token_is_in_the_log(receiver: WebhookStack) -> None:
    token = signed(OTHER_SECRET)

    def is_reported() -> bool:
        # Of a flood before it not every one is.
        receiver.post({"id": "a body of the test"}, token=token)
        return "verdict='wrong signature'" in receiver.whole_log("receiver")

    receiver.until_soon(is_reported, "it is reported")
    log = receiver.whole_log("receiver")
    assert SECRET not in log
    assert token not in log
    assert token.rpartition(".")[2] not in log
    assert "a body of the test" not in log
    assert "Traceback" not in log
