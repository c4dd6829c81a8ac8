"""The worker's settings: read from the environment, refused by name, never shown with a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.exceptions import SettingsError
from connect_worker.observability import masking
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.model import DEFAULT_REDIS_URL, Settings, account_name

REPOSITORY = Path(__file__).parents[3]
SECRET = "canary-0123456789"
KEY = f"SU-111-222-333:{SECRET}"
URL = "https://api.connect.test/public/v1"


pytestmark = pytest.mark.usefixtures("no_settings")


def given(**values: str) -> Settings:
    """The settings of an environment with these variables; names without their prefix."""
    os.environ.update({f"CONNECT_{name}": value for name, value in values.items()})
    return Settings.from_env()


def refused(**values: str) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        given(**values)
    return raised.value


def test_without_variables_there_are_defaults() -> None:
    settings = given()
    assert settings == Settings(
        poll_seconds=dict.fromkeys(("fulfillment", "tier-config", "usage-file", "usage"), 30.0)
    )
    assert settings.redis_url == settings.broker_url == DEFAULT_REDIS_URL


@pytest.mark.parametrize(
    ("variable", "text", "attribute", "value"),
    [
        ("API_URL", URL, "api_url", URL),
        ("API_URL", f"  {URL} ", "api_url", URL),
        ("API_KEY", KEY, "api_key", KEY),
        ("PRODUCTS", "PRD-1, PRD-2,", "products", ("PRD-1", "PRD-2")),
        ("PROCESSORS", "mine.orders,./other.py", "processors", ("mine.orders", "./other.py")),
        ("CONFIG_FILE", "config.json", "config_file", "config.json"),
        ("REDIS_URL", "rediss://:pw@redis:6380/1", "redis_url", "rediss://:pw@redis:6380/1"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("REDIS_URL", "redis://redis:6379/1", "broker_url", "redis://redis:6379/1"),
        ("REDIS_URL", "unix:///r.sock?db=1", "broker_url", "unix:///r.sock?db=1"),
        ("BROKER_URL", "amqp://mq", "broker_url", "amqp://mq"),
        ("SWEEP_SECONDS", "2.5", "sweep_seconds", 2.5),
        ("LEASE_SECONDS", "120", "lease_seconds", 120.0),
        ("MAX_ATTEMPTS", "3", "max_attempts", 3),
        ("RETRY_BASE_SECONDS", "1", "retry_base_seconds", 1.0),
        ("RETRY_MAX_SECONDS", "60", "retry_max_seconds", 60.0),
        ("SKIP_SECONDS", "600", "skip_seconds", 600.0),
        ("TIMEOUT_SECONDS", "5", "timeout_seconds", 5.0),
        ("MAX_ANSWER_MEGABYTES", "0.5", "max_answer_bytes", 524_288),
        ("MAX_LIST_ROWS", "1000", "max_list_rows", 1000),
        ("ALLOW_PRIVATE_HOSTS", "true", "allow_private_hosts", True),
        ("PAGE_SIZE", "1000", "page_size", 1000),
        ("KEEP_DAYS", "0.5", "keep_days", 0.5),
        ("SAY_ACTIVATED", "no", "say_activated", False),
        ("SAY_ACTIVATED", "1", "say_activated", True),
        ("MAX_CALLS_PER_SECOND", "2.5", "max_calls_per_second", 2.5),
    ],
)
def test_each_variable_sets_its_setting(
    variable: str, text: str, attribute: str, value: object
) -> None:
    assert getattr(given(**{variable: text}), attribute) == value


def test_a_poll_interval_is_for_all_kinds_or_for_one() -> None:
    settings = given(POLL_SECONDS="10", POLL_USAGE_SECONDS="3600", POLL_TIER_CONFIG_SECONDS="60")
    assert settings.poll_seconds == {
        "fulfillment": 10.0,
        "tier-config": 60.0,
        "usage-file": 10.0,
        "usage": 3600.0,
    }


NUMBERS = [
    *("POLL_SECONDS", "POLL_FULFILLMENT_SECONDS", "POLL_TIER_CONFIG_SECONDS"),
    *("POLL_USAGE_FILE_SECONDS", "POLL_USAGE_SECONDS", "SWEEP_SECONDS", "LEASE_SECONDS"),
    *("MAX_ATTEMPTS", "RETRY_BASE_SECONDS", "RETRY_MAX_SECONDS", "SKIP_SECONDS"),
    *("TIMEOUT_SECONDS", "PAGE_SIZE", "KEEP_DAYS", "MAX_CALLS_PER_SECOND"),
    *("MAX_ANSWER_MEGABYTES", "MAX_LIST_ROWS"),
]


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("text", ["often", "0", "-1", "nan", "inf", "1,5", "1s"])
def test_a_malformed_number_is_refused_by_its_variables_name(variable: str, text: str) -> None:
    error = refused(**{variable: text})
    assert f"CONNECT_{variable}: " in str(error)
    assert error.setting == f"CONNECT_{variable}"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("PAGE_SIZE", "1001"), ("MAX_ATTEMPTS", "2.5"), ("LEASE_SECONDS", "0.5")),
        *(("POLL_SECONDS", "1e10"), ("TIMEOUT_SECONDS", "1e12"), ("MAX_ATTEMPTS", "9999999999")),
        ("SAY_ACTIVATED", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_refused(variable: str, text: str) -> None:
    assert f"CONNECT_{variable}: " in str(refused(**{variable: text}))


def test_a_broker_of_another_kind_is_refused_without_being_shown() -> None:
    error = refused(BROKER_URL=f"http://user:{SECRET}@mq:5672")
    assert "CONNECT_BROKER_URL: must begin with redis://" in str(error)
    assert SECRET not in repr(error)


def test_a_redis_address_of_another_kind_is_refused_without_being_shown() -> None:
    error = refused(REDIS_URL=f"http://user:{SECRET}@redis:6379")
    assert "CONNECT_REDIS_URL: must begin with redis://" in str(error)
    assert SECRET not in repr(error)


def test_all_malformed_variables_are_named_at_once() -> None:
    text = str(refused(PAGE_SIZE="many", LEASE_SECONDS="0", REDIS_URL="here", KEEP_DAYS="7"))
    assert all(f"CONNECT_{name}: " in text for name in ("PAGE_SIZE", "LEASE_SECONDS", "REDIS_URL"))
    assert "KEEP_DAYS" not in text


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_is_as_good_as_none(blank: str) -> None:
    names = [*NUMBERS, "API_URL", "API_KEY", "PRODUCTS", "PROCESSORS", "CONFIG_FILE"]
    names += ["REDIS_URL", "BROKER_URL"]
    assert given(**dict.fromkeys(names, blank)) == given()


# ---- the .env file


def test_a_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'CONNECT_API_KEY="{KEY}"\nCONNECT_PAGE_SIZE=50\n')
    settings = given(PAGE_SIZE="60")
    assert settings.api_key == KEY
    assert settings.page_size == 60


def test_a_malformed_value_in_a_dotenv_file_is_refused_like_any(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CONNECT_PAGE_SIZE=many\n")
    assert "CONNECT_PAGE_SIZE" in str(refused())


def test_a_dotenv_file_of_a_parent_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CONNECT_PAGE_SIZE=50\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert given().page_size == 500


def test_the_dotenv_file_may_be_another_or_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CONNECT_PAGE_SIZE=50\n")
    (tmp_path / "other.env").write_text("CONNECT_KEEP_DAYS=1\n")
    assert Settings.from_env(dotenv=None).page_size == 500
    settings = Settings.from_env(dotenv="other.env")
    assert (settings.page_size, settings.keep_days) == (500, 1.0)


# ---- the account


def config_file(tmp_path: Path, **entries: Any) -> str:
    path = tmp_path / "account.json"
    path.write_text(json.dumps(entries))
    return str(path)


def test_the_account_comes_from_the_variables() -> None:
    config = given(API_URL=URL, API_KEY=KEY, PRODUCTS="PRD-1").config()
    assert (config.api_url, config.api_key) == (f"{URL}/", f"ApiKey {KEY}")
    assert config.products == ["PRD-1"]


def test_the_account_comes_from_a_file_in_the_seeds_format(tmp_path: Path) -> None:
    file = config_file(tmp_path, apiEndpoint=URL, apiKey=KEY, products="PRD-1")
    config = given(CONFIG_FILE=file).config()
    assert (config.api_url, config.api_key) == (f"{URL}/", f"ApiKey {KEY}")
    assert config.products == ["PRD-1"]


@pytest.mark.parametrize(
    ("variable", "text", "attribute", "value"),
    [
        ("API_URL", "https://other.test/v1", "api_url", "https://other.test/v1/"),
        ("API_KEY", "SU-9:other", "api_key", "ApiKey SU-9:other"),
        ("PRODUCTS", "PRD-2,PRD-3", "products", ["PRD-2", "PRD-3"]),
    ],
)
def test_a_variable_overrides_the_file(
    tmp_path: Path, variable: str, text: str, attribute: str, value: object
) -> None:
    file = config_file(tmp_path, apiEndpoint=URL, apiKey=KEY, products=["PRD-1"])
    config = given(CONFIG_FILE=file, **{variable: text}).config()
    assert getattr(config, attribute) == value


def test_a_file_without_the_key_is_enough_beside_the_variable(tmp_path: Path) -> None:
    file = config_file(tmp_path, apiEndpoint=URL)
    assert given(CONFIG_FILE=file, API_KEY=KEY).config().api_key == f"ApiKey {KEY}"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "CONNECT_API_URL and CONNECT_API_KEY not set"),
        ({"API_URL": URL}, "CONNECT_API_KEY not set"),
        ({"API_KEY": KEY}, "CONNECT_API_URL not set"),
        ({"CONFIG_FILE": "no-such.json"}, "CONNECT_CONFIG_FILE: no-such.json can't be used"),
        ({"API_URL": "api.connect.test", "API_KEY": KEY}, "CONNECT_API_URL is no http"),
        ({"API_URL": KEY, "API_KEY": URL}, "CONNECT_API_URL is no http"),
        ({"API_URL": URL, "API_KEY": KEY + "ä"}, "CONNECT_API_KEY"),
        ({"API_URL": URL, "API_KEY": KEY + "\nX"}, "CONNECT_API_KEY"),
    ],
)
def test_an_account_that_cannot_be_used_is_refused_by_name(
    values: dict[str, str], named: str
) -> None:
    settings = given(**values)
    with pytest.raises(SettingsError) as raised:
        settings.config()
    assert named in str(raised.value)
    assert SECRET not in f"{raised.value!r} {raised.value}"


@pytest.mark.parametrize("text", ["{", "[]", '{"apiEndpoint": "x"}', '{"products": 5}'])
def test_a_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "account.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"CONNECT_CONFIG_FILE: .*account\.json"):
        given(CONFIG_FILE=str(path)).config()


def test_making_the_account_leaves_the_global_config_alone() -> None:
    code = f"""
from connect_worker.config import Config
from connect_worker.settings.model import Settings
Settings(api_url={URL!r}, api_key="SU-1:x").config()
try:
    Config.get_instance()
except OSError as error:
    print("none in force", error.filename.rpartition("/")[2])
"""
    # Of this process, another test may have made a configuration already.
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout == "none in force config.json\n"


# ---- secrets, and the account's name


def test_no_secret_is_in_the_representation() -> None:
    redis_url = f"redis://:{SECRET}@redis:6379/0"
    settings = given(API_URL=URL, API_KEY=KEY, REDIS_URL=redis_url)
    assert SECRET not in f"{settings!r} {settings}"
    assert URL in repr(settings)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        given().page_size = 7  # type: ignore[misc]  # that is the point


def test_an_account_is_named_by_its_address_and_the_public_part_of_its_key() -> None:
    name = given(API_URL=URL, API_KEY=KEY).account
    assert len(name) == 12
    assert name == account_name(Config.local(f"{URL}/", f"ApiKey {KEY}"))
    assert name == account_name(Config.local(URL, "SU-111-222-333:a-new-secret")), "a rotated key"
    assert name != account_name(Config.local(URL, "SU-999-222-333:x"))
    assert name != account_name(Config.local("https://other.test/v1", KEY))


def test_queues_are_named_once_each() -> None:
    assert given(API_URL=URL, API_KEY=KEY, QUEUES="slow, big.1,slow").queues == ("slow", "big.1")
    assert given(QUEUES="").queues == ()


@pytest.mark.parametrize("name", ["control", "a b", "a@eu", "-Q", "x" * 65])
def test_what_is_no_name_of_a_queue_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="CONNECT_QUEUES"):
        given(API_URL=URL, API_KEY=KEY, QUEUES=name)


#: Whatever a person has set; nothing of it is for people to read.
SECRETS = {
    "API_KEY": KEY,
    "EU_API_KEY": KEY.replace("canary", "canary-eu"),
    "REDIS_URL": f"redis://user:{SECRET}-redis@host:6379/0",
    "SENTINEL_PASSWORD": f"{SECRET}-sentinels",
    "BROKER_URL": f"amqp://user:{SECRET}-broker@host//",
    "FLOWER_AUTH": f"operator:{SECRET}-flower",
    "ENCRYPTION_KEY": f"{'canary-1' * 5}123=,{'canary-2' * 5}456=",
    "CONSOLE_PASSWORD": f"{SECRET}-console",
    "US_WEBHOOK_SECRET": f"{SECRET}-webhook-0123456789",
}


def test_a_text_that_quotes_the_environment_shows_no_secret_of_any_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    os.environ["FLOWER_BASIC_AUTH"] = f"one:{SECRET}-one,two:{SECRET}-two"
    for extra in ({}, {"POLL_SECONDS": "malformed"}, {"ACCOUNTS": "no/name"}):
        monkeypatch.setattr(masking, "_known", masking._Known())
        with suppress(SettingsError):
            given(**SECRETS, **extra)
        quoted = mask_secrets(str(dict(os.environ)))
        assert "canary" not in quoted
        assert "redis://user:***@host:6379/0" in quoted


def test_every_secret_setting_is_masked_in_the_environment() -> None:
    variables = {item.name.upper() for item in fields(Settings) if not item.repr}
    assert variables == {name.removeprefix("EU_").removeprefix("US_") for name in SECRETS}
