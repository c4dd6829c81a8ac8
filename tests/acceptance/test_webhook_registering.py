"""`webhook register`, `list` and `unregister` against the sandbox; what `doctor` says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.webhook_stack import SECRET, WebhookStack, running_webhook_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

ELSEWHERE = {
    "type": "event",
    "object_class": "fulfillment_request",
    "label": "somebody else's",
    "description": "not ours",
    "external_url": "https://elsewhere.example/hook",
    "jwt_secret": "theirs",
    "active": True,
    "http_method": "POST",
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[WebhookStack]:
    with running_webhook_stack(tmp_path) as stack:
        stack.seed(fulfillment=0)
        stack.command("unregister")
        yield stack


def api(stack: WebhookStack, method: str, path: str, document: Any = None) -> Any:
    answer = requests.request(
        method,
        f"{stack.environment['CONNECT_API_URL']}/{path}",
        json=document,
        headers={"Authorization": f"ApiKey {stack.environment['CONNECT_API_KEY']}"},
        timeout=10,
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def products(stack: WebhookStack) -> list[str]:
    return list(json.loads((stack.directory / "sandbox.json").read_text())["products"])


def hooks(stack: WebhookStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api(stack, "GET", "notifications/webhooks")
    return found


def actions(stack: WebhookStack, *arguments: str) -> list[str]:
    rows = json.loads(stack.command(*arguments, "--json"))["webhooks"]
    return [row["action"] for row in rows]


def test_each_product_gets_its_webhook_once(office: WebhookStack) -> None:
    assert actions(office, "register") == ["created"] * 3
    assert sorted(hook["product"]["id"] for hook in hooks(office)) == sorted(products(office))
    assert {hook["object_class"] for hook in hooks(office)} == {"fulfillment_request"}
    assert {hook["external_url"] for hook in hooks(office)} == {f"{office.url}/fulfillment_request"}
    before = hooks(office)
    assert actions(office, "register") == ["unchanged"] * 3
    assert hooks(office) == before


def test_what_is_wrong_is_repaired_and_others_are_left_alone(office: WebhookStack) -> None:
    first, second, _ = products(office)
    theirs = api(office, "POST", "notifications/webhooks", {**ELSEWHERE, "product_id": first})
    office.command("register")
    [off, stale, *_] = [hook for hook in hooks(office) if hook["id"] != theirs["id"]]
    body = {**ELSEWHERE, "external_url": f"{office.url}/fulfillment_request", "jwt_secret": SECRET}
    product = {hook["id"]: hook["product"]["id"] for hook in hooks(office)}
    for item, change in ((off, {"active": False}), (stale, {"jwt_secret": "of long ago"})):
        changed = {**body, "product_id": product[item["id"]], **change}
        api(office, "PUT", f"notifications/webhooks/{item['id']}", changed)

    assert sorted(actions(office, "register")) == ["unchanged", "updated", "updated"]
    assert len(hooks(office)) == 4
    mine = [hook for hook in hooks(office) if hook["id"] != theirs["id"]]
    assert all(item["active"] and item["jwt_secret"] == SECRET for item in mine)
    assert theirs in hooks(office)
    assert actions(office, "unregister") == ["deleted"] * 3
    assert hooks(office) == [theirs]
    assert second


def test_the_named_products_only(office: WebhookStack) -> None:
    office.environment["CONNECT_PRODUCTS"] = products(office)[1]
    assert actions(office, "register") == ["created"]
    assert hooks(office)[0]["product"]["id"] == products(office)[1]


def test_the_list_tells_which_of_them_point_here_and_no_secret(office: WebhookStack) -> None:
    office.command("register")
    api(office, "POST", "notifications/webhooks", {**ELSEWHERE, "product_id": products(office)[0]})
    text = office.command("list")
    assert [line.split()[0] for line in text.splitlines()] == ["here"] * 3 + ["elsewhere"]
    assert SECRET not in text
    assert "theirs" not in text
    rows = json.loads(office.command("list", "--json"))["webhooks"]
    assert {row["points"] for row in rows} == {"here", "elsewhere"}
    # Without an address of its own it lists all the same.
    del office.environment["CONNECT_WEBHOOK_URL"]
    text = office.command("list")
    assert [line.split()[0] for line in text.splitlines()] == ["elsewhere"] * 4


@pytest.mark.long
def test_doctor_tells_whether_they_point_here(office: WebhookStack) -> None:
    assert finding(office)["level"] == "warn"
    assert finding(office)["remedy"] == "connect-worker webhook register"
    office.command("register")
    assert finding(office) == {
        "part": "webhooks",
        "level": "ok",
        "text": f"3 point to {office.url}",
        "remedy": "",
    }
    office.environment["CONNECT_WEBHOOK_SECRET"] = "another-secret-" * 3
    assert finding(office)["level"] == "warn"
    del office.environment["CONNECT_WEBHOOK_SECRET"]
    assert finding(office)["text"].startswith("off")


def finding(stack: WebhookStack) -> dict[str, str]:
    log = stack.directory / "doctor.log"
    log.unlink(missing_ok=True)
    process = stack.start("doctor", "-m", "connect_worker", "doctor", "--json")
    process.wait(timeout=60)
    del stack.processes["doctor"]
    text = log.read_text()
    document = json.loads(text[text.index("{") :])
    [found] = [item for item in document["findings"] if item["part"] == "webhooks"]
    return dict(found)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONNECT_WEBHOOK_SECRET", "", "CONNECT_WEBHOOK_SECRET not set"),
        pytest.param(
            *("CONNECT_WEBHOOK_URL", "", "CONNECT_WEBHOOK_URL not set"), marks=pytest.mark.long
        ),
        pytest.param(
            *("CONNECT_WEBHOOK_SECRET", "short", "32 to 100 characters"), marks=pytest.mark.long
        ),
        pytest.param(
            *("CONNECT_WEBHOOK_URL", "hooks.example", "must begin with http"),
            marks=pytest.mark.long,
        ),
        ("CONNECT_API_KEY", "ApiKey SU-1:wrong", "Connect refused the call"),
    ],
)
def test_what_is_missing_is_said(
    office: WebhookStack, variable: str, value: str, said: str
) -> None:
    office.environment[variable] = value
    with pytest.raises(AssertionError, match=said):
        office.command("register")
