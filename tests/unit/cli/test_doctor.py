"""`doctor` names what is wrong, each with its remedy, and goes on to the next part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from connect_worker.cli.context import Exit
from connect_worker.cli.doctor import failed
from connect_worker.domain.states import PollReport, RequestKind
from connect_worker.ledger.redis import connect
from connect_worker.settings.accounts import DEPLOYMENT
from tests.support.redis_server import running_server
from tests.support.sandbox_server import API_KEY, Client, running_sandbox
from tests.support.stack import ROOT

from .conftest import OperatorShell

PURCHASES = str(ROOT / "examples" / "purchases.py")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Client]:
    with running_sandbox("--requests", "4") as client:
        yield client


@pytest.fixture
def deployed(operator_shell: OperatorShell, sandbox: Client) -> OperatorShell:
    """An operator_shell whose settings lead to the sandbox."""
    operator_shell.set(
        CONNECT_API_URL=f"{sandbox.root}/public/v1",
        CONNECT_API_KEY=API_KEY,
        CONNECT_PROCESSORS=PURCHASES,
    )
    return operator_shell


def examine(operator_shell: OperatorShell) -> dict[str, list[dict[str, str]]]:
    """The findings by part; without workers it always fails."""
    document: Any = operator_shell.json("doctor", code=Exit.NEEDS_ATTENTION)
    assert document["ok"] is False
    parts: dict[str, list[dict[str, str]]] = {}
    for finding in document["findings"]:
        parts.setdefault(finding["part"], []).append(finding)
        assert finding["level"] == "ok" or finding["remedy"], finding
    return parts


def test_what_is_well_is_named(deployed: OperatorShell) -> None:
    parts = examine(deployed)
    assert parts["Connect"][0]["text"] == "reachable, and the key is accepted"
    assert parts["processors"][0]["text"].startswith("fulfillment: Purchases in ")
    assert parts["processors"][0]["text"].endswith(", all products")
    assert "celery 5.6" in parts["versions"][0]["text"]
    assert parts["Redis"][0]["level"] == "ok"
    assert "Redis " in parts["Redis"][0]["text"]


def test_a_missing_setting_ends_what_needs_it(operator_shell: OperatorShell) -> None:
    operator_shell.set(CONNECT_API_URL="", CONNECT_PROCESSORS=PURCHASES)
    parts = examine(operator_shell)
    assert set(parts) == {"versions", "settings"}
    assert "CONNECT_API_URL not set" in parts["settings"][0]["text"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"CONNECT_API_KEY": ""}, "CONNECT_API_KEY"),
        (
            {"CONNECT_API_KEY": "", "CONNECT_ACCOUNTS": "eu,us", "CONNECT_EU_API_KEY": "SU-1:x"},
            "CONNECT_US_API_KEY",
        ),
    ],
)
def test_only_who_knows_every_account_takes_over(
    operator_shell: OperatorShell, variables: dict[str, str], named: str
) -> None:
    operator_shell.set(**variables)
    with redis.Redis.from_url(operator_shell.redis_url, decode_responses=True) as client:
        client.hset(DEPLOYMENT, "", "of the other one")
        result = operator_shell.run("doctor", "--take-over")
        assert client.hgetall(DEPLOYMENT) == {"": "of the other one"}
    assert result.exit_code == Exit.CONFIGURATION
    assert named in result.stderr


@pytest.mark.parametrize("name", ["tasks.py", "tasks/__init__.py", "celeryconfig.py"])
def test_a_module_that_hides_the_workers_is_reported(
    operator_shell: OperatorShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "folder" not in examine(operator_shell)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).touch()
    (found,) = examine(operator_shell)["folder"]
    assert found["level"] == "warn"
    assert found["text"].startswith(f"{name} in this folder hides")


def test_a_clone_hides_nothing(
    operator_shell: OperatorShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert "folder" not in examine(operator_shell)


def test_a_misspelt_setting_is_reported(operator_shell: OperatorShell) -> None:
    operator_shell.set(CONNECT_MAX_ATTEMPT="3")
    finding, _ = examine(operator_shell)["settings"]
    assert (finding["level"], finding["text"]) == ("warn", "CONNECT_MAX_ATTEMPT is not a setting")
    assert "CONNECT_MAX_ATTEMPTS" in finding["remedy"]


def test_processors_that_can_not_be_loaded_are_reported_and_the_rest_is_looked_at(
    deployed: OperatorShell, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n")
    deployed.set(CONNECT_PROCESSORS=str(tmp_path / "broken.py"))
    parts = examine(deployed)
    assert "a_module_that_is_not_there" in parts["processors"][0]["text"]
    assert parts["Connect"][0]["level"] == "ok"


def test_what_a_module_prints_is_no_part_of_the_answer(
    deployed: OperatorShell, tmp_path: Path
) -> None:
    text = Path(PURCHASES).read_text()
    (tmp_path / "loud.py").write_text(f"print('hello')\n{text.replace('from __future__', '#')}")
    deployed.set(CONNECT_PROCESSORS=str(tmp_path / "loud.py"))
    assert examine(deployed)["processors"][0]["level"] == "ok"


def test_a_refused_key_and_no_answer_are_distinguished(
    deployed: OperatorShell, operator_shell: OperatorShell
) -> None:
    deployed.set(CONNECT_API_KEY="SU-999-999-999:wrong")
    refused = examine(deployed)["Connect"][0]
    assert (refused["level"], refused["remedy"]) == ("fail", "set CONNECT_API_KEY to a valid one")
    assert "wrong" not in str(refused)
    operator_shell.set(CONNECT_API_URL="http://127.0.0.1:9/public/v1")
    assert "no answer" in examine(operator_shell)["Connect"][0]["text"]


def test_an_unknown_product_is_a_warning(deployed: OperatorShell) -> None:
    deployed.set(CONNECT_PRODUCTS="PRD-999-999-999")
    found = examine(deployed)["Connect"][-1]
    assert found["level"] == "warn"
    assert "PRD-999-999-999" in found["text"]


def test_a_redis_that_forgets_is_reported(deployed: OperatorShell) -> None:
    with running_server() as url, connect(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        deployed.set(CONNECT_REDIS_URL=url)
        levels = {found["text"]: found["level"] for found in examine(deployed)["Redis"]}
    assert levels["maxmemory-policy is allkeys-lru, Redis may evict live cycles"] == "fail"
    assert levels["Redis keeps nothing on disk, a restart forgets decisions"] == "warn"


def test_a_redis_that_is_away_is_reported(deployed: OperatorShell, tmp_path: Path) -> None:
    deployed.set(CONNECT_REDIS_URL=f"unix://{tmp_path}/none")
    assert "can't be reached" in examine(deployed)["Redis"][0]["text"]


def test_beat_is_known_by_the_polls(operator_shell: OperatorShell) -> None:
    assert examine(operator_shell)["beat"][0]["level"] == "fail"
    for kind in RequestKind:
        operator_shell.ledger.record_poll(kind, PollReport())
    assert [found["level"] for found in examine(operator_shell)["beat"]] == ["ok"]


def test_a_paused_account_is_reported(operator_shell: OperatorShell) -> None:
    operator_shell.ledger.trip_breaker(seconds=60, reason="503", failed=True)
    assert "after 1 failure (503)" in examine(operator_shell)["account"][0]["text"]


def test_for_people_each_finding_has_a_line(deployed: OperatorShell) -> None:
    for width in (80, 120):
        result = deployed.run("doctor", width=width)
        assert result.exit_code == Exit.NEEDS_ATTENTION
        assert all(len(line) <= width for line in result.stdout.splitlines())
        assert "ok    Connect     reachable, and the key is accepted" in result.stdout


def test_a_message_is_parted_at_its_last_colon() -> None:
    finding = failed("Redis", "it is full: raise maxmemory")
    assert (finding.text, finding.remedy) == ("it is full", "raise maxmemory")
    assert failed("Redis", "gone").text == "gone"


def test_details_in_parentheses_stay_with_the_problem() -> None:
    finding = failed("Redis", "it is away: start it (Error 1: no route (errno 113))")
    assert (finding.text, finding.remedy) == (
        "it is away (Error 1: no route (errno 113))",
        "start it",
    )
    assert failed("Redis", "gone (Error: 1)").text == "gone (Error: 1)"
