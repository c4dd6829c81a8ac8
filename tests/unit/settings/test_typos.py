"""Variables that look like a setting are reported; a vendor's own are not."""

from __future__ import annotations

import pytest

from connect_worker.settings.environment import find_typos
from connect_worker.settings.model import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONNECT_PROCESOR", "CONNECT_PROCESSORS"),
        ("CONNECT_MAX_ATTEMPT", "CONNECT_MAX_ATTEMPTS"),
        ("CONNECT_REDISURL", "CONNECT_REDIS_URL"),
        ("CONNECT_APIKEY_FILE", "CONNECT_API_KEY_FILE"),
        ("CONNECT_POLL_FULFILMENT_SECONDS", "CONNECT_POLL_FULFILLMENT_SECONDS"),
        ("CONNECT_EU_API_KEYS", "CONNECT_EU_API_KEY"),
    ],
)
def test_what_is_nearly_a_setting_is_reported(name: str, meant: str) -> None:
    (found,) = find_typos(Settings, {name: "x"}, ("eu",))
    assert str(found) == f"{name} is not a setting. Did you mean {meant}?"


@pytest.mark.parametrize(
    "name",
    [
        "CONNECT_PROCESSORS",
        "CONNECT_API_KEY_FILE",
        "CONNECT_EU_API_KEY",
        "CONNECT_FLOWER_AUTH",
        "CONNECT_TIMEOUT_OF_OURS",
        "CONNECT_",
        "CONNECT_BILLING_HOST",
        "MAX_ATTEMPT",
    ],
)
def test_a_setting_and_what_is_something_else_are_left_alone(name: str) -> None:
    assert list(find_typos(Settings, {name: "x"}, ("eu",))) == []


def test_a_blank_one_is_none() -> None:
    assert list(find_typos(Settings, {"CONNECT_PROCESOR": " "})) == []
