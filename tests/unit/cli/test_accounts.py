"""The operator's commands where several accounts are named: all of them, or one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connect_worker.cli.context import Exit
from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.domain.states import PollReport, RequestKind, State
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.accounts import settings_of
from tests.support.ledger_factories import OTHER, PR, record_of, register, running

from .conftest import OperatorShell
from .metrics_exporter import Samples


class Branches:
    """An operator's shell before the ledgers of two accounts."""

    def __init__(
        self, operator_shell: OperatorShell, monkeypatch: pytest.MonkeyPatch, redis_url: str
    ) -> None:
        self.operator_shell = operator_shell
        self.run, self.json, self.said = (
            operator_shell.run,
            operator_shell.json,
            operator_shell.said,
        )
        monkeypatch.delenv("CONNECT_API_KEY")
        operator_shell.set(
            CONNECT_ACCOUNTS="eu,us",
            CONNECT_API_URL=f"http://127.0.0.1:{free_port()}/public/v1",
            CONNECT_EU_API_KEY=f"SU-{uuid4().hex[:12]}:key",
            CONNECT_US_API_KEY=f"SU-{uuid4().hex[:12]}:key",
        )
        self.eu, self.us = (
            RedisLedger.from_url(redis_url, account=settings_of(name, dotenv=None).account)
            for name in ("eu", "us")
        )


@pytest.fixture
def branches(
    operator_shell: OperatorShell, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> Branches:
    return Branches(operator_shell, monkeypatch, redis_url)


def test_status_tells_of_each_account_and_of_one_as_where_there_is_one(branches: Branches) -> None:
    register(branches.eu, PR)
    branches.us.trip_breaker(seconds=60, reason="Connect is down", failed=True)
    boards = branches.json("status", "--no-workers")["accounts"]
    assert list(boards) == ["eu", "us"]
    assert boards["eu"]["kinds"]["fulfillment"]["queued"] == 1
    assert boards["us"]["kinds"]["fulfillment"]["queued"] == 0
    assert [boards[name]["account"]["breaker"] for name in ("eu", "us")] == ["closed", "open"]
    alone = branches.json("status", "--no-workers", "-a", "EU")
    assert set(alone) == set(boards["eu"])
    assert alone["kinds"]["fulfillment"]["queued"] == 1

    said = branches.said("status", "--no-workers")
    assert said.index("Account eu") < said.index("Account us") < said.index("Connect is down")
    assert "Account eu" not in branches.said("status", "--no-workers", "--account", "eu")


def test_status_is_sick_when_one_account_is(branches: Branches) -> None:
    for ledger in (branches.eu, branches.us):
        for kind in RequestKind:
            ledger.record_poll(kind, PollReport(seconds=0.5))
    assert branches.run("status", "--no-workers", "--check").exit_code == Exit.DONE
    branches.us.park(running(branches.us, PR), "broken")
    assert branches.run("status", "--no-workers", "--check").exit_code == Exit.NEEDS_ATTENTION
    alone = branches.run("status", "--no-workers", "--check", "-a", "eu")
    assert alone.exit_code == Exit.DONE


@pytest.mark.parametrize("words", [("status", "--no-workers"), ("list",), ("metrics", "--once")])
def test_an_account_that_there_is_not_is_refused_with_those_that_there_are(
    branches: Branches, words: tuple[str, ...]
) -> None:
    result = branches.run(*words, "--account", "asia")
    assert result.exit_code == Exit.USAGE
    assert "Unknown account 'asia'. Choose one of: eu, us." in result.stderr


def test_without_names_there_is_no_account_to_choose(operator_shell: OperatorShell) -> None:
    result = operator_shell.run("list", "--account", "eu")
    assert result.exit_code == Exit.USAGE
    assert "CONNECT_ACCOUNTS is not set" in result.stderr


def test_an_account_without_its_key_is_named(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONNECT_US_API_KEY")
    result = branches.run("status", "--no-workers")
    assert result.exit_code == Exit.CONFIGURATION
    assert "CONNECT_US_API_KEY not set" in result.stderr
    assert branches.run("status", "--no-workers", "-a", "eu").exit_code == Exit.DONE


def test_lists_are_reported_by_account(branches: Branches) -> None:
    register(branches.eu, PR)
    register(branches.us, PR)
    register(branches.us, OTHER)
    lists = branches.json("list")["accounts"]
    assert {name: item["total"] for name, item in lists.items()} == {"eu": 1, "us": 2}
    assert branches.json("list", "-a", "us")["total"] == 2


def test_a_request_is_looked_for_in_all_accounts(branches: Branches) -> None:
    register(branches.us, OTHER)
    assert list(branches.json("show", OTHER.id)["accounts"]) == ["us"]
    assert "Account us" in branches.said("show", OTHER.id)
    absent = branches.run("show", "PR-0")
    assert absent.exit_code == Exit.NOT_DONE
    assert "the ledger has no request PR-0" in absent.stderr


@pytest.mark.parametrize("words", [("show",), ("rerun", "--yes"), ("discard", "--yes")])
def test_a_request_that_two_accounts_have_must_be_distinguished(
    branches: Branches, words: tuple[str, ...]
) -> None:
    for ledger in (branches.eu, branches.us):
        ledger.park(running(ledger, PR), "broken")
    result = branches.run(*words, PR.id)
    assert result.exit_code == Exit.USAGE
    assert f"{PR.id} is in eu and us: name one with --account" in result.stderr
    assert record_of(branches.eu, PR).state is record_of(branches.us, PR).state is State.PARKED
    assert branches.run(*words, PR.id, "-a", "us").exit_code == Exit.DONE
    assert record_of(branches.eu, PR).state is State.PARKED


def test_what_is_done_is_done_where_the_requests_are(branches: Branches) -> None:
    branches.eu.park(running(branches.eu, PR), "broken")
    branches.us.park(running(branches.us, OTHER), "broken")
    document = branches.json("rerun", OTHER.id, PR.id, "--yes")["accounts"]
    assert {name: item["done"] for name, item in document.items()} == {
        "eu": [PR.id],
        "us": [OTHER.id],
    }
    assert record_of(branches.eu, PR).state is record_of(branches.us, OTHER).state is State.QUEUED
    unknown = branches.json("rerun", "PR-0", OTHER.id, "--yes", code=Exit.NOT_DONE)["accounts"]
    assert unknown["eu"]["not_found"] == ["PR-0"]


def test_all_of_an_account_are_not_all_of_the_other(branches: Branches) -> None:
    for ledger in (branches.eu, branches.us):
        ledger.park(running(ledger, PR), "broken")
    assert branches.json("discard", "--all", "--yes", "-a", "eu")["done"] == [PR.id]
    assert record_of(branches.us, PR).state is State.PARKED
    document = branches.json("rerun", "--all", "--yes")["accounts"]
    assert (document["eu"]["done"], document["us"]["done"]) == ([], [PR.id])


def test_a_pause_is_of_all_accounts_or_of_one(branches: Branches) -> None:
    document = branches.json("pause", "fulfillment", "-a", "us")
    assert list(document["paused"]) == ["fulfillment"]
    assert (dict(branches.eu.pauses()), list(branches.us.pauses())) == ({}, ["fulfillment"])
    branches.json("pause", "all")
    assert (list(branches.eu.pauses()), len(branches.us.pauses())) == (["all"], 2)
    resumed = branches.json("resume", "fulfillment", code=Exit.NOT_DONE)["accounts"]
    assert (resumed["eu"]["not_paused"], resumed["us"]["not_paused"]) == (["fulfillment"], [])


def test_doctor_tells_of_each_account_and_once_of_what_they_share(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONNECT_EU_API_KEY")
    findings = branches.json("doctor", code=Exit.NEEDS_ATTENTION)["findings"]
    of = {(finding.get("account"), finding["part"]): finding for finding in findings}
    assert "CONNECT_EU_API_KEY not set" in of["eu", "settings"]["text"]
    assert of["us", "settings"]["level"] == "ok"
    assert "check CONNECT_US_API_URL" in of["us", "Connect"]["remedy"]
    assert ("us", "beat") in of
    for part in ("versions", "Redis", "workers"):
        assert [finding.get("account") for finding in findings if finding["part"] == part][:1] == [
            None
        ]
        assert ("us", part) not in of
    assert len([finding for finding in findings if finding["part"] == "versions"]) == 1


def test_metrics_are_labelled_with_the_accounts_names(branches: Branches) -> None:
    register(branches.eu, PR)
    for ref in (PR, OTHER):
        register(branches.us, ref)
    branches.us.trip_breaker(seconds=60, reason="Connect is down", failed=True)
    with embedded_redis() as broker_url:
        branches.operator_shell.set(CONNECT_BROKER_URL=broker_url)
        done = branches.operator_shell.run_alone("metrics", "--once")
        item = branches.operator_shell.run_alone("metrics", "--once", "--account", "eu").stdout
    assert (done.returncode, done.stderr) == (0, "")
    families = list(text_string_to_metric_families(done.stdout))
    assert len({family.name for family in families}) == len(families)
    samples: Samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    assert len(samples) == sum(len(family.samples) for family in families)

    def of(name: str, **labels: str) -> float:
        """The sum over all other labels."""
        wanted = labels.items()
        return sum(
            value
            for (sample, its), value in samples.items()
            if sample == f"connect_worker_{name}" and wanted <= set(its)
        )

    kind = {"kind": "fulfillment", "state": "queued"}
    assert of("requests", account="eu", **kind) == 1
    assert of("requests", account="us", **kind) == 2
    assert of("breaker_failures", account="eu") == 0
    assert of("breaker_failures", account="us") == 1
    assert of("ledger_up") == of("broker_up") == 1
    assert ("connect_worker_queue_messages", frozenset({("queue", "fulfillment@us")})) in samples
    assert 'account="eu"' in item
    assert 'account="us"' not in item
