"""Several accounts: which variable says what of which, what is refused, and what all is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connect_worker.exceptions import SettingsError
from connect_worker.settings.accounts import (
    DeploymentIdentity,
    account_at,
    accounts_of,
    at,
    identity_of,
    require_distinct,
    settings_of,
)
from connect_worker.settings.model import Settings

ROOT = Path(__file__).parents[3]
EU, US = "https://eu.test/public/v1", "https://us.test/public/v1"
SECRET = "canary-0123456789"


pytestmark = pytest.mark.usefixtures("no_settings")


def given(**values: str) -> None:
    """Set these variables; names without their prefix."""
    os.environ.update({f"CONNECT_{name}": value for name, value in values.items()})


def refused(account: str = "", **values: str) -> SettingsError:
    given(**values)
    with pytest.raises(SettingsError) as raised:
        settings_of(account).config()
    return raised.value


def test_without_names_there_is_the_one_that_the_variables_say() -> None:
    given(API_URL=EU, API_KEY="SU-1:x")
    assert accounts_of(Settings.from_env()) == ("",)
    assert settings_of("") == Settings.from_env()


def test_names_are_read_in_small_letters_and_their_order() -> None:
    given(ACCOUNTS=" EU, us_west,")
    assert accounts_of(Settings.from_env()) == ("eu", "us_west")


@pytest.mark.parametrize(
    "name", ["eu-1", "1eu", "eu__x", "_eu", "eu_", "ü", "a" * 31, "e u", "eu@x"]
)
def test_a_name_that_can_be_no_part_of_a_variable_is_refused(name: str) -> None:
    assert "CONNECT_ACCOUNTS: " in str(refused(ACCOUNTS=f"us,{name}"))


def test_a_name_that_is_there_twice_is_refused() -> None:
    assert "twice" in str(refused(ACCOUNTS="eu,us,EU"))


def test_an_account_that_is_not_named_is_none() -> None:
    assert "Unknown account 'asia'. CONNECT_ACCOUNTS has: eu, us." in str(
        refused("asia", ACCOUNTS="eu,us")
    )


FALLS_BACK: dict[str, tuple[str, str, str]] = {
    "api_url": ("API_URL", EU, US),
    "processors": ("PROCESSORS", "one", "other"),
    "sweep_seconds": ("SWEEP_SECONDS", "1", "2"),
    "lease_seconds": ("LEASE_SECONDS", "10", "20"),
    "max_attempts": ("MAX_ATTEMPTS", "1", "2"),
    "retry_base_seconds": ("RETRY_BASE_SECONDS", "1", "2"),
    "retry_max_seconds": ("RETRY_MAX_SECONDS", "1", "2"),
    "skip_seconds": ("SKIP_SECONDS", "1", "2"),
    "timeout_seconds": ("TIMEOUT_SECONDS", "1", "2"),
    "max_answer_megabytes": ("MAX_ANSWER_MEGABYTES", "1", "2"),
    "max_list_rows": ("MAX_LIST_ROWS", "10", "20"),
    "allow_private_hosts": ("ALLOW_PRIVATE_HOSTS", "true", "false"),
    "page_size": ("PAGE_SIZE", "10", "20"),
    "max_calls_per_second": ("MAX_CALLS_PER_SECOND", "1", "2"),
    "say_activated": ("SAY_ACTIVATED", "true", "false"),
    "keep_days": ("KEEP_DAYS", "1", "2"),
}


@pytest.mark.parametrize("attribute", FALLS_BACK)
def test_an_account_has_its_own_value_or_that_of_all(attribute: str) -> None:
    variable, own, of_all = FALLS_BACK[attribute]
    given(ACCOUNTS="eu,us", **{f"EU_{variable}": own, variable: of_all})
    alone = getattr(settings_of("eu"), attribute)
    assert alone != getattr(settings_of("us"), attribute)
    assert getattr(settings_of("us"), attribute) == getattr(Settings.from_env(), attribute)
    given(**{f"EU_{variable}": " "})
    assert getattr(settings_of("eu"), attribute) == getattr(settings_of("us"), attribute)


def test_an_accounts_own_interval_comes_before_that_of_a_kind_for_all() -> None:
    given(ACCOUNTS="eu,us,asia", POLL_SECONDS="30", POLL_USAGE_SECONDS="3600")
    given(EU_POLL_SECONDS="5", US_POLL_FULFILLMENT_SECONDS="1")
    assert set(settings_of("eu").poll_seconds.values()) == {5.0}
    of_us = {"fulfillment": 1.0, "tier-config": 30.0, "usage-file": 30.0, "usage": 3600.0}
    assert settings_of("us").poll_seconds == of_us
    assert settings_of("asia").poll_seconds == of_us | {"fulfillment": 30.0}


@pytest.mark.parametrize("name", ["API_KEY", "API_KEY_FILE", "CONFIG_FILE", "PRODUCTS"])
def test_what_is_an_accounts_own_only_is_refused_without_its_name(name: str) -> None:
    error = refused(ACCOUNTS="eu,us", **{name: SECRET})
    assert f"CONNECT_{name} is not used when CONNECT_ACCOUNTS is set" in str(error)
    assert f"CONNECT_<ACCOUNT>_{name}" in str(error)
    assert SECRET not in repr(error)


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL", "HEARTBEAT_FILE", "LOG_FORMAT"])
def test_what_is_one_for_all_is_refused_with_a_name(name: str) -> None:
    error = refused("eu", ACCOUNTS="eu,us", **{f"EU_{name}": "x"})
    assert f"CONNECT_EU_{name} has no effect: this setting is deployment-wide" in str(error)


def test_keys_products_and_files_are_the_accounts_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("SU-2:us\n")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"apiEndpoint": US, "apiKey": "SU-3:asia"}))
    given(ACCOUNTS="eu,us,asia", API_URL=EU, EU_API_KEY="SU-1:eu", EU_PRODUCTS="PRD-1,PRD-2")
    given(US_API_KEY_FILE=str(tmp_path / "key"), ASIA_CONFIG_FILE=str(file))
    eu, us, asia = (settings_of(name).config() for name in ("eu", "us", "asia"))
    assert (eu.api_key, eu.products) == ("ApiKey SU-1:eu", ["PRD-1", "PRD-2"])
    assert (us.api_key, us.api_url, us.products) == ("ApiKey SU-2:us", f"{EU}/", [])
    # The file's own address, and not that of all.
    assert (asia.api_key, asia.api_url) == ("ApiKey SU-3:asia", f"{US}/")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"EU_API_URL": EU}, "CONNECT_EU_API_KEY not set"),
        ({"EU_API_KEY": "SU-1:x"}, "CONNECT_EU_API_URL not set"),
        ({"EU_API_URL": "eu.test", "EU_API_KEY": "SU-1:x"}, "CONNECT_EU_API_URL is no http"),
        ({"API_URL": EU, "EU_API_KEY": f"{SECRET}ä"}, "CONNECT_EU_API_KEY"),
        ({"EU_CONFIG_FILE": "none.json"}, "CONNECT_EU_CONFIG_FILE: none.json can't be used"),
        ({"EU_PAGE_SIZE": "many"}, "CONNECT_EU_PAGE_SIZE: "),
        ({"EU_API_KEY_FILE": "none"}, "CONNECT_EU_API_KEY_FILE: "),
    ],
)
def test_what_is_wrong_is_reported_by_the_accounts_own_variable(
    values: dict[str, str], said: str
) -> None:
    error = refused("eu", ACCOUNTS="eu,us", **values)
    assert said in str(error)
    assert SECRET not in repr(error)


def test_two_names_of_one_account_are_refused() -> None:
    given(
        ACCOUNTS="eu,us,x", API_URL=EU, EU_API_KEY="SU-1:a", US_API_KEY="SU-2:a", X_API_KEY="SU-1:b"
    )
    require_distinct(settings_of(name) for name in ("eu", "us"))
    with pytest.raises(SettingsError, match="CONNECT_EU_API_KEY and CONNECT_X_API_KEY belong to"):
        require_distinct(settings_of(name) for name in ("eu", "us", "x"))


def test_a_named_account_keeps_its_part_of_the_ledger() -> None:
    """So naming the one account of a deployment, or another name, forgets nothing."""
    given(API_URL=EU, API_KEY="SU-1:x")
    before = settings_of("").account
    del os.environ["CONNECT_API_KEY"]
    given(ACCOUNTS="eu", EU_API_KEY="SU-1:x")
    assert settings_of("eu").account == before


def test_a_name_at_an_account_tells_which_one() -> None:
    assert (at("usage-file", "eu"), at("usage-file", "")) == ("usage-file@eu", "usage-file")
    assert (account_at("usage-file@eu"), account_at("usage-file")) == ("eu", "")


def called(**variables: str) -> dict[str, Any]:
    """What a process with these settings calls its queues, tasks and schedules."""
    code = """
import json, celeryconfig, tasks
from tasks.celery_support.publisher import CeleryPublisher
conf = tasks.app.conf
print(json.dumps({
    "queues": [queue.name for queue in conf.task_queues],
    "default": conf.task_default_queue,
    "tasks": sorted(name for name in tasks.app.tasks if not name.startswith("celery.")),
    "beat": conf.beat_schedule,
}))
"""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CONNECT_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


KINDS = ("fulfillment", "tier-config", "usage-file", "usage")


def test_a_deployment_without_names_calls_everything_as_before() -> None:
    """Messages that are in flight while it is upgraded go on."""
    found = called(CONNECT_POLL_SECONDS="7")
    assert found["queues"] == ["control", *KINDS]
    assert found["default"] == "control"
    jobs = [f"process.{kind}" for kind in KINDS]
    assert found["tasks"] == sorted(["refresh", "poll", "poll.now", "sweep", *jobs])
    polls = {f"poll {k}": {"task": "poll", "schedule": 7.0, "args": [k]} for k in KINDS}
    assert found["beat"] == polls | {"sweep": {"task": "sweep", "schedule": 10.0}}


def test_each_account_has_queues_tasks_and_a_schedule_of_its_own() -> None:
    found = called(CONNECT_ACCOUNTS="eu,us", CONNECT_US_POLL_SECONDS="7")
    assert found["queues"] == [f"{n}@{a}" for a in ("eu", "us") for n in ("control", *KINDS)]
    assert found["default"] in found["queues"]
    names = ["refresh", "poll", "poll.now", "sweep", *(f"process.{kind}" for kind in KINDS)]
    assert found["tasks"] == sorted(
        f"{name}@{account}" for name in names for account in ("eu", "us")
    )
    assert len(found["beat"]) == 10
    assert found["beat"]["poll usage@us"] == {
        "task": "poll@us",
        "schedule": 7.0,
        "args": ["usage"],
        "options": {"queue": "control@us"},
    }


def identity(**values: str) -> DeploymentIdentity:
    """Return the identity of a deployment with these variables and no others."""
    for name in [name for name in os.environ if name.startswith("CONNECT_")]:
        del os.environ[name]
    given(**values)
    return identity_of(Settings.from_env(dotenv=None), settings_of)


def test_a_deployment_is_known_by_its_accounts_and_not_by_their_secrets() -> None:
    one = identity(API_URL=EU, API_KEY=f"SU-1:{SECRET}")
    assert SECRET not in repr(one)
    assert one == identity(API_URL=EU, API_KEY="SU-1:rotated", PROCESSORS="x", LEASE_SECONDS="9")
    assert one.accounts[""].endswith(f" {EU}/")
    for others in (
        {"API_URL": US, "API_KEY": "SU-1:x"},
        {"API_URL": EU, "API_KEY": "SU-2:x"},
    ):
        assert one.accounts != identity(**others).accounts


def test_a_deployment_without_a_key_is_known_by_its_names_alone() -> None:
    found = identity(ACCOUNTS="eu,us", EU_API_URL=EU, EU_API_KEY="SU-1:x", PREFIX="shop")
    assert (found.prefix, *found.accounts, *sorted(found.names)) == ("shop:", "eu", "eu", "us")


def test_the_login_of_an_address_is_not_shown() -> None:
    address = EU.replace("https://", f"https://me:{SECRET}@")
    assert SECRET not in repr(identity(API_URL=address, API_KEY="SU-1:x"))


@pytest.mark.parametrize("prefix", ["Shop", "-shop", "a b", "a:b", "{a}", "a*", "é", "a" * 33])
def test_a_prefix_that_could_be_part_of_other_names_is_refused(prefix: str) -> None:
    assert "CONNECT_PREFIX: " in str(refused(PREFIX=prefix))
