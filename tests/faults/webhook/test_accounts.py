"""Several accounts: each has its place and its secret, and opens no other one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stack import assert_each_resolved_once
from tests.support.webhook_stack import SECRET, running_webhook_stack, signed

pytestmark = [pytest.mark.faults]

OTHER_SECRET = "the-other-account's-own-secret-of-48-characters-"


@pytest.mark.slow
def test_each_account_has_its_place_and_its_secret(tmp_path: Path) -> None:
    with running_webhook_stack(tmp_path) as stack:
        stack.seed(fulfillment=0)
        key = stack.environment.pop("CONNECT_API_KEY")
        secret = stack.environment.pop("CONNECT_WEBHOOK_SECRET")
        stack.environment |= {
            "CONNECT_ACCOUNTS": "eu,us",
            "CONNECT_EU_API_KEY": key,
            "CONNECT_US_API_KEY": "ApiKey SU-999-999-999:nobody",
            "CONNECT_EU_WEBHOOK_SECRET": secret,
            "CONNECT_US_WEBHOOK_SECRET": OTHER_SECRET,
        }
        stack.receive()
        stack.command("register", "--account", "eu")
        stack.work("one")
        stack.until_soon(
            lambda: "poll.completed" in stack.whole_log("one"), "the first polls are made"
        )
        request_id = stack.order(scenario="purchase")
        stack.until_soon(lambda: stack.status(request_id) == "approved", "it is approved")
        assert_each_resolved_once(stack.report())

        body = {"id": request_id}
        for path, own in (("/eu/fulfillment_request", SECRET), ("/us/usage_file", OTHER_SECRET)):
            foreign = SECRET if own is OTHER_SECRET else OTHER_SECRET
            assert stack.post(body, token=signed(foreign), path=path).status_code == 401
            assert stack.post({}, token=signed(own), path=path).status_code == 202
            # A proxy may leave a prefix of its own.
            assert stack.post({}, token=signed(own), path=f"/hooks{path}").status_code == 202
        for path in ("/fulfillment_request", "/apac/fulfillment_request", "//fulfillment_request"):
            assert stack.post(body, path=path).status_code == 404
