"""What vendors' programs of 2019 to 2021 do with models, by scripts and by this project's table."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.sandbox_server import API_KEY, Client

from .interpreter import python

SCRIPT = Path(__file__).with_name("scripts") / "watchful.py.txt"


def test_times_flags_fields_and_tiles_are_read_as_the_sdk_read_them(
    shared_sandbox: Client, tmp_path: Path
) -> None:
    params = [{"id": "email", "value": "a@b.example", "constraints": {"required": "True"}}]
    asset = {"params": params, "items": [{"id": "I-1", "quantity": "5"}]}
    made = {"kind": "fulfillment", "body": {"asset": asset}}
    [order] = shared_sandbox.control("POST", "requests", made)["ids"]
    account = {"apiEndpoint": f"{shared_sandbox.root}/public/v1", "apiKey": API_KEY}
    (tmp_path / "config.json").write_text(json.dumps(account | {"products": []}))

    status, _, errors = python("-m", "connect_worker.compat", str(SCRIPT), cwd=tmp_path)
    assert status == 0, errors

    report = shared_sandbox.control("GET", "report")["requests"].values()
    requests = [entry for entry in report if entry["kind"] in ("fulfillment", "tier-config")]
    assert {entry["status"] for entry in requests if entry["initial_status"] == "pending"} == {
        "approved"
    }
    found = shared_sandbox.get(f"requests/{order}")
    tile = json.loads(found["activation_key"])
    assert tile == {
        "is_new": True,
        "created": found["created"].replace("T", " ").removesuffix("+00:00"),
        "logged": found["asset"]["product"]["id"],
        "quantities": [5],
        "email": "a@b.example",
        "required": True,
        "status": 200,
    }
