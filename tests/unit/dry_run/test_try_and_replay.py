"""`connect-worker try` and `replay` against a real sandbox: what they show, and what it got."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connect_worker.cli import main
from connect_worker.cli.context import Exit
from connect_worker.testing import NotInRecord, purchase, recorded, run, tier_setup, usage_file
from connect_worker.testing.sandbox import Sandbox
from examples.usage_reviews import UsageReview
from tests.support.processors.vendor import Orders, Readers

VENDOR = "tests.support.processors.vendor"
ORDERS = f"{VENDOR}:Orders"

SCRIPT = """
from connect_worker.config import Config
from connect_worker.models import ActivationTileResponse
from connect_worker.resources import FulfillmentAutomation

class Orders(FulfillmentAutomation):
    def process_request(self, request):
        return ActivationTileResponse("Hello")

Orders(Config(file="config.json")).process()
"""


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    """A shell whose environment names the sandbox's account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONNECT_API_URL", sandbox.api_url)
    monkeypatch.setenv("CONNECT_API_KEY", sandbox.api_key)
    monkeypatch.setenv("VENDOR_URL", sandbox.vendor_url)
    return sandbox


def said(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, words, env={"COLUMNS": "100"})
    assert result.exit_code == code, result.output
    return result


def answered(*words: str, code: int = 0) -> Any:
    return json.loads(said(*words, "--json", code=code).stdout)


def assert_untouched(sandbox: Sandbox, name: str) -> None:
    entry = sandbox.entry(name)
    assert (entry["status"], entry["accepted"], entry["refused"]) == ("pending", [], [])
    assert (entry["messages"], entry["params"]) == ([], [])
    assert set(entry["calls"]) <= {"GET"}


def test_it_shows_the_outcome_and_the_exact_calls(account: Sandbox) -> None:
    name = account.add(purchase(params={"plan": "ask", "email": "a@b.example"}))
    shown = said("try", ORDERS, name).stdout
    assert "An email, please" in shown
    assert f"1. PUT requests/{name}" in shown
    assert f"2. POST requests/{name}/inquire" in shown
    assert "Would be sent to Connect; nothing was" in shown
    assert_untouched(account, name)


def test_calls_of_the_processors_own_are_caught_too(account: Sandbox) -> None:
    name = account.add(purchase())
    document = answered("try", f"{VENDOR}:Tenants", name)
    by = [(call["by"], call["method"]) for call in document["calls"]]
    assert by == [("processor", "PUT"), ("decision", "POST"), ("decision", "POST")]
    assert_untouched(account, name)
    # The vendor's own system is not Connect: the call was made, under the cycle's key.
    vendor = account.entry(name)["vendor"]
    assert vendor["effects"] == 1
    assert vendor["keys"] == [document["calls"][0]["idempotency_key"]]


def test_a_script_that_processes_all_when_it_is_run_does_not_when_it_is_tried(
    account: Sandbox, tmp_path: Path
) -> None:
    """Its configuration is its own, as in 2019, and not that of the rehearsal."""
    names = [account.add(purchase()) for _ in range(2)]
    config = {"apiEndpoint": account.api_url, "apiKey": account.api_key, "products": []}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "script.py").write_text(SCRIPT)
    assert "Hello" in said("try", "./script.py", names[0]).stdout
    for name in names:
        assert_untouched(account, name)


def test_a_processor_that_exits_is_shown_as_one_in_error(account: Sandbox, tmp_path: Path) -> None:
    name = account.add(purchase())
    exits = SCRIPT.partition("        return")[0] + "        raise SystemExit(3)\n"
    (tmp_path / "exits.py").write_text(exits)
    assert "sys.exit(3)" in said("try", "./exits.py", name, code=1).stdout


def test_a_record_that_can_not_be_written_is_refused_before_the_run(account: Sandbox) -> None:
    name = account.add(purchase())
    refused = said("try", ORDERS, name, "--record", "no/such/folder/x.json", code=2)
    assert "--record: cannot write a file into no/such/folder." in refused.output
    assert account.entry(name)["calls"] == {}


def test_steps_and_not_yet_are_shown(account: Sandbox) -> None:
    name = account.add(purchase(params={"plan": "slow"}))
    shown = said("try", f"{VENDOR}:Stepwise", name).stdout
    assert "Step      tenant" in shown
    assert "No decision  RetryRequest: the mailbox is not ready" in shown
    assert "snoozed: the worker would run the processor again later" in shown
    document = answered("try", f"{VENDOR}:Stepwise", name)
    assert list(document["steps"]) == ["tenant"]
    assert_untouched(account, name)


def test_reads_go_to_the_account(account: Sandbox) -> None:
    name = account.add(purchase())
    account.add(purchase())
    document = answered("try", f"{VENDOR}:Readers", name)
    assert document["outcome"]["tile"] == "no group, 2 assets, written"
    assert_untouched(account, name)


def test_the_worker_would_decide_the_same(account: Sandbox) -> None:
    name = account.add(purchase(params={"plan": "refuse"}))
    tried = answered("try", ORDERS, name)
    Orders(account.config).process()
    [accepted] = account.entry(name)["accepted"]
    assert accepted["body"] == tried["calls"][0]["body"]
    # And under the same key: what a trial has made in the vendor's system, the worker finds.
    assert accepted["idempotency_key"] == tried["calls"][0]["idempotency_key"]


def test_an_error_is_reported_and_ends_with_1(account: Sandbox) -> None:
    name = account.add(purchase(params={"plan": "break"}))
    shown = said("try", ORDERS, name, code=1).stdout
    assert "RuntimeError: the vendor's system is down" in shown
    assert "Nothing would be sent to Connect." in shown
    assert "Traceback" in said("try", ORDERS, name, "--verbose", code=1).output


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([f"{VENDOR}:Nobody", "PR-1-2-3"], 2, "has no automation Nobody"),
        (["no.such.module", "PR-1-2-3"], 2, "no.such.module can't be imported"),
        (
            [VENDOR, "PR-1-2-3"],
            2,
            f"Name one of: {ORDERS}",
        ),
        (
            [VENDOR, "TCR-1-2-3"],
            2,
            "no automation for tier-config requests",
        ),
        ([ORDERS, "TL-1-2-3"], 2, "is not the id of a request"),
        ([ORDERS, "PR-1-2-3"], 3, "the account has no request PR-1-2-3"),
        ([ORDERS], 2, "Give either the id of a request or --file"),
    ],
)
def test_what_cannot_be_tried_is_reported(
    account: Sandbox, words: list[str], code: int, says: str
) -> None:
    assert says in said("try", *words, code=code).stderr


def test_without_an_account_a_file_is_tried_and_an_id_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CONNECT_API_URL", "CONNECT_API_KEY", "CONNECT_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    Path("order.json").write_text(json.dumps(purchase(id="PR-7").json))
    shown = said("try", ORDERS, "--file", "order.json").stdout
    assert "POST requests/PR-7/approve" in shown
    assert "No account is set" in shown
    assert "CONNECT_API_URL" in said("try", ORDERS, "PR-7", code=Exit.CONFIGURATION).stderr
    Path("bad.json").write_text("{}")
    assert "contains no request" in said("try", ORDERS, "--file", "bad.json", code=2).stderr
    Path("bad.json").write_text("[" * 100_000)
    assert "too many levels" in said("try", ORDERS, "--file", "bad.json", code=2).stderr


def test_it_works_as_a_program_from_a_file_of_the_vendors(account: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from connect_worker.models import ActivationTileResponse\n"
        "from connect_worker.resources import FulfillmentAutomation\n"
        "class Mine(FulfillmentAutomation):\n"
        "    def process_request(self, request):\n"
        "        return ActivationTileResponse('Hello')\n"
    )
    name = account.add(purchase())
    done = subprocess.run(
        [sys.executable, "-m", "connect_worker", "try", "mine.py", name],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert '{"activation_tile": "Hello"}' in done.stdout
    assert done.stderr == ""


def test_one_of_several_accounts_is_chosen(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = account.add(purchase())
    monkeypatch.delenv("CONNECT_API_KEY")
    monkeypatch.setenv("CONNECT_ACCOUNTS", "eu,us")
    monkeypatch.setenv("CONNECT_EU_API_KEY", account.api_key)
    monkeypatch.setenv("CONNECT_US_API_KEY", "SU-000-000-002:unknown")
    assert "--account eu or us" in said("try", ORDERS, name, code=2).stderr
    assert answered("try", ORDERS, name, "--account", "eu")["result"] == "approved"
    assert "401" in said("try", ORDERS, name, "--account", "us", code=5).stderr
    assert answered("replay", ORDERS, "-a", "eu") == {"replayed": 0, "differing": []}


# ---- records


def test_a_record_is_run_again_without_network(account: Sandbox, tmp_path: Path) -> None:
    name = account.add(purchase())
    said("try", f"{VENDOR}:Readers", name, "--record", "order.json")
    account.reset()
    record = recorded(tmp_path / "order.json")
    done = run(Readers, record)
    assert done.result == "approved"
    assert done.calls == record.calls
    with pytest.raises(NotInRecord, match="conversations"):
        run(Orders, recorded_of(tmp_path, without="conversations"))
    with pytest.raises(NotInRecord, match=r"GET assets\?"):
        run(Readers, recorded_of(tmp_path, without="assets"))
    with pytest.raises(TypeError, match="not of usage-file"):
        run(UsageReview, record)


def recorded_of(folder: Path, *, without: str) -> Any:
    document = json.loads((folder / "order.json").read_text())
    document["reads"] = [read for read in document["reads"] if read["path"] != without]
    (folder / "less.json").write_text(json.dumps(document))
    return recorded(folder / "less.json")


def test_a_record_has_no_secrets(account: Sandbox, tmp_path: Path) -> None:
    params: Any = {
        "plan": "ask",
        "email": "see geheim-7-word here",
        "root": {"type": "password", "value": "geheim-7-word"},
    }
    name = account.add(purchase(params=params))
    shown = said("try", ORDERS, name, "--record", "order.json").output
    text = (tmp_path / "order.json").read_text()
    for secret in ("geheim-7-word", account.api_key, account.api_key.partition(":")[2]):
        assert secret not in text
        assert secret not in shown
    assert '"see *** here"' in text
    assert run(Orders, recorded(tmp_path / "order.json")).calls == recorded("order.json").calls


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_reads_a_record(account: Sandbox, tmp_path: Path) -> None:
    name, record = account.add(purchase()), tmp_path / "order.json"
    before = os.umask(0)
    try:
        said("try", ORDERS, name, "--record", "order.json")
        assert mode_of(record) == 0o600
        again = said("try", ORDERS, name, "--record", "order.json")
        assert "open to other users" not in again.output
    finally:
        os.umask(before)


def test_a_record_that_others_could_read_is_replaced_by_one_that_they_can_not(
    account: Sandbox, tmp_path: Path
) -> None:
    name, record, link = account.add(purchase()), tmp_path / "order.json", tmp_path / "link.json"
    record.write_text("before")
    record.chmod(0o644)
    link.symlink_to(record)
    with record.open() as opened_before:
        shown = said("try", ORDERS, name, "--record", "link.json")
        assert opened_before.read() == "before"
    assert (
        "link.json was open to other users of this machine. The new one has mode 0600."
        in shown.stderr
    )
    assert (mode_of(record), link.is_symlink()) == (0o600, True)
    assert recorded(link).request["id"] == name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "order.json"]


def test_a_record_is_not_written_into_what_is_no_file(account: Sandbox, tmp_path: Path) -> None:
    name = account.add(purchase())
    os.mkfifo(tmp_path / "pipe")
    refused = said("try", ORDERS, name, "--record", "pipe", code=2)
    assert "--record: pipe is not a file." in refused.output
    assert account.entry(name)["calls"] == {}


def test_a_record_holds_every_text(account: Sandbox, tmp_path: Path) -> None:
    name = account.add(purchase(params={"email": "a\udc80\x1b[2J\u202e é@b.example"}))
    said("try", ORDERS, name, "--record", "order.json")
    written = (tmp_path / "order.json").read_text("utf-8")
    assert all(map(str.isprintable, written.splitlines()))
    [email] = [
        param["value"]
        for param in recorded("order.json").request["asset"]["params"]
        if param["id"] == "email"
    ]
    assert email == "a\udc80\x1b[2J\u202e é@b.example"


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"id": "PR-1"}')
    with pytest.raises(ValueError, match="is not a record"):
        recorded(tmp_path / "other.json")


# ---- replay


def settled(sandbox: Sandbox, count: int = 1, **params: str) -> list[str]:
    names = [sandbox.add(purchase(params=params)) for _ in range(count)]
    Orders(sandbox.config).process()
    return names


def test_a_processor_that_decides_as_before_differs_nowhere(account: Sandbox) -> None:
    names = [*settled(account, 2, plan="refuse")]
    assert answered("replay", ORDERS) == {"replayed": 2, "differing": []}
    assert "2 decided requests, 0 would be" in said("replay", ORDERS).stdout
    for name in names:
        entry = account.entry(name)
        assert [outcome["action"] for outcome in entry["accepted"]] == ["fail"]
        assert entry["params"] == []


def test_it_shows_where_a_changed_processor_differs(account: Sandbox, tmp_path: Path) -> None:
    settled(account, plan="refuse")
    approved = account.add(purchase())
    account.decide(approved, "approved")
    (tmp_path / "changed.py").write_text(
        "from tests.support.processors.vendor import Orders as Former\n"
        "from connect_worker.exceptions import FailRequest\n"
        "class Orders(Former):\n"
        "    def process_request(self, request):\n"
        "        if request.asset.get_param_by_id('plan').value == 'refuse':\n"
        "            raise FailRequest('Sold out')\n"
        "        raise RuntimeError('broken')\n"
    )
    found = answered("replay", "changed.py:Orders", code=1)
    assert found["replayed"] == 2
    assert {row["difference"] for row in found["differing"]} == {
        "was failed for 'No more of these', now for 'Sold out'",
        "was approved, now RuntimeError: broken",
    }
    assert "2 would be decided differently" in said("replay", "changed.py:Orders", code=1).stdout


def test_only_the_last_are_replayed_the_newest_first(account: Sandbox) -> None:
    names = settled(account, 3, plan="refuse")
    for name in names[1:]:
        account.decide(name, "approved")
    rows = answered("replay", ORDERS, "--last", "2", code=1)
    assert rows["replayed"] == 2
    assert [row["id"] for row in rows["differing"]] == names[:0:-1]
    assert rows["differing"][0]["difference"] == "was approved, now failed: No more of these"


def test_the_other_kinds_are_compared_too(account: Sandbox) -> None:
    setup, file = account.add(tier_setup()), account.add(usage_file())
    account.decide(setup, "approved")
    account.decide(file, "accepted")
    assert answered("replay", "examples.resellers") == {"replayed": 1, "differing": []}
    assert answered("replay", "examples.usage_reviews") == {"replayed": 1, "differing": []}
    assert "never decided" in said("replay", "examples.usage_reports", code=2).stderr


FORM = "tests.support.processors.validating:Orders"


@pytest.mark.parametrize(
    ("email", "code", "errors", "error"),
    [
        ("a@b.example", 0, {}, None),
        ("nobody", 0, {"email": "Enter an email address."}, None),
        ("raise", 1, {}, "ValueError: the vendor's system is down"),
    ],
)
def test_a_validation_is_tried_too(
    account: Sandbox, tmp_path: Path, email: str, code: int, errors: Any, error: str | None
) -> None:
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(purchase(params={"email": email}, status="draft").json))
    document = answered("try", FORM, "--file", str(draft), code=code)
    assert (document["errors"], document["error"]) == (errors, error)
    shown = said("try", FORM, "--file", str(draft), code=code).stdout
    assert "validated by Orders" in shown
    expected = error or "".join(errors.values()) or "No errors."
    assert expected in shown
    said("try", FORM, "--file", str(draft), "--record", str(tmp_path / "x.json"), code=2)
