"""What is masked by its shape, what by its value, and for how long."""

from __future__ import annotations

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus

import pytest

from connect_worker.observability.masking import hide, hide_here, hiding, mask_secrets

SECRET = "canary-of-masking-0123456789"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"redis://:{SECRET}@redis:6379/0", "redis://:***@redis:6379/0"),
        (f"rediss://worker:{SECRET}@redis/0", "rediss://worker:***@redis/0"),
        (f"amqp://guest:{SECRET}@rabbit//", "amqp://guest:***@rabbit//"),
        (f"amqp://guest:p@{SECRET}@rabbit//", "amqp://guest:***@rabbit//"),
        (f"redis://redis/0?password={SECRET}&db=1", "redis://redis/0?password=***&db=1"),
        (f"sentinel://:{SECRET}@a;sentinel://:{SECRET}@b", "sentinel://:***@b"),
    ],
)
def test_the_password_in_an_address_is_masked(text: str, masked: str) -> None:
    assert mask_secrets(f"connecting to {text}, said {text}").count(SECRET) == 0
    assert mask_secrets(text).endswith(masked)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:5555/a@b", "redis://localhost:6379/0", "see http://x/y: z@w"]
)
def test_an_address_without_a_password_is_left_alone(text: str) -> None:
    assert mask_secrets(text) == text


@pytest.mark.parametrize(
    "value", [SECRET, 'with "quotes" and \\', "ümläut and space", "abcd/efgh?c=d&e", "a\nline\x00"]
)
def test_a_known_value_is_masked_in_every_form_that_texts_have_it_in(value: str) -> None:
    forms = [
        value,
        repr({"value": value}),
        json.dumps({"value": value}),
        json.dumps({"value": value}, ensure_ascii=False),
        f"https://vendor.example/?it={quote(value, safe='')}",
        f"value={quote_plus(value)}",
        f"<td>{html.escape(value)}</td>",
        json.dumps(repr(json.dumps({"value": value}))),
        repr(repr({"value": value})),
    ]
    with hiding():
        hide_here([value])
        for text in forms:
            masked = mask_secrets(text)
            assert "***" in masked
            assert not any(part in masked for part in re.findall(r"[a-z0-9]{4,}", value))


def test_a_value_is_hidden_until_the_last_block_that_has_it_ends() -> None:
    with hiding():
        hide_here([SECRET])
        with hiding():
            hide_here([SECRET])
        assert SECRET not in mask_secrets(f"is {SECRET}")
    assert mask_secrets(f"is {SECRET}") == f"is {SECRET}"


def test_threads_that_the_job_started_hide_it_too() -> None:
    with hiding(), ThreadPoolExecutor(1) as pool:
        hide_here([SECRET])
        assert pool.submit(mask_secrets, f"is {SECRET}").result() == "is ***"


def test_outside_of_a_block_nothing_is_hidden_by_value() -> None:
    hide_here([SECRET])
    assert mask_secrets(SECRET) == SECRET


def test_a_value_that_contains_another_is_masked_whole() -> None:
    with hiding():
        hide_here(["secret", "secret-and-more"])
        assert mask_secrets("secret-and-more, secret") == "***, ***"


def test_a_very_short_value_leaves_texts_readable() -> None:
    with hiding():
        hide_here(["a", "", "123"])
        assert mask_secrets("a request, 123 seats") == "a request, 123 seats"


def test_a_short_value_is_masked_as_a_word() -> None:
    with hiding():
        hide_here(["test"])
        assert mask_secrets("the latest test_1: 'test', test.") == "the latest test_1: '***', ***."


def test_what_the_deployment_hides_stays_hidden() -> None:
    hide("the deployment's own canary")
    assert mask_secrets("it is the deployment's own canary.") == "it is ***."
