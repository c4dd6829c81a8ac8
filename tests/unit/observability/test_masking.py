"""What is masked by its shape, what by its value, and for how long."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connect_worker.observability.masking import (
    LONGEST_TEXT,
    LONGEST_VALUE,
    mask_secrets,
    mask_values,
    register_scoped_secrets,
    register_secret,
    secret_scope,
)
from connect_worker.observability.spellings import readings

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
        repr({"value": value.encode()}),
        json.dumps(repr(value.encode())),
        json.dumps({"value": value}),
        json.dumps({"value": value}, ensure_ascii=False),
        f"https://vendor.example/?it={quote(value, safe='')}",
        f"value={quote_plus(value)}",
        f"<td>{html.escape(value)}</td>",
        json.dumps(repr(json.dumps({"value": value}))),
        repr(repr({"value": value})),
    ]
    with secret_scope():
        register_scoped_secrets([value])
        for text in forms:
            masked = mask_secrets(text)
            assert "***" in masked
            assert not any(part in masked for part in re.findall(r"[a-z0-9]{4,}", value))


def test_a_value_is_hidden_until_the_last_block_that_has_it_ends() -> None:
    with secret_scope():
        register_scoped_secrets([SECRET])
        with secret_scope():
            register_scoped_secrets([SECRET])
        assert SECRET not in mask_secrets(f"is {SECRET}")
    assert mask_secrets(f"is {SECRET}") == f"is {SECRET}"


def test_threads_that_the_job_started_hide_it_too() -> None:
    with secret_scope(), ThreadPoolExecutor(1) as pool:
        register_scoped_secrets([SECRET])
        assert pool.submit(mask_secrets, f"is {SECRET}").result() == "is ***"


def test_outside_of_a_block_nothing_is_hidden_by_value() -> None:
    register_scoped_secrets([SECRET])
    assert mask_secrets(SECRET) == SECRET


def test_a_value_that_contains_another_is_masked_whole() -> None:
    with secret_scope():
        register_scoped_secrets(["secret", "secret-and-more"])
        assert mask_secrets("secret-and-more, secret") == "***, ***"


def test_a_very_short_value_leaves_texts_readable() -> None:
    with secret_scope():
        register_scoped_secrets(["a", "", "123"])
        assert mask_secrets("a request, 123 seats") == "a request, 123 seats"


def test_a_short_value_is_masked_as_a_word() -> None:
    with secret_scope():
        register_scoped_secrets(["test"])
        assert mask_secrets("the latest test_1: 'test', test.") == "the latest test_1: '***', ***."


def test_what_the_deployment_hides_stays_hidden() -> None:
    register_secret("the deployment's own canary")
    assert mask_secrets("it is the deployment's own canary.") == "it is ***."


# ---- every way to write a value

SPELLINGS: tuple[Callable[[str], str], ...] = (
    quote,
    quote_plus,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    repr,
    lambda text: repr(text.encode()),
    html.escape,
)

#: What some kind of text escapes, or what looks like an escape already.
ODD = st.one_of(
    st.sampled_from(
        ["\\", "%", "&", "+", " ", '"', "'", "/", "\n", "\t", "\x00", "\x1b", "\u2028"]
    ),
    st.sampled_from(["%41", "%25", "%C3", "%c3%a9", "&lt;", "&amp;", "&#39;", "&#x2F;", "&copy;"]),
    st.sampled_from(
        ["\\n", "\\u00e9", "\\x41", "\\ud83d", "\\U0001f600", "u00e9", "amp;", "25", "n"]
    ),
    st.characters(exclude_categories=["Cs"]),
)


@settings(max_examples=400, deadline=None)
@given(
    inside=st.lists(ODD, max_size=12).map("".join),
    spellings=st.lists(st.sampled_from(SPELLINGS), max_size=3),
)
@example(inside='50%+ A\\n"Z"', spellings=[json.dumps, html.escape, quote_plus])
@example(inside="\N{GRINNING FACE}\\", spellings=[json.dumps, json.dumps, json.dumps])
def test_a_value_is_masked_in_every_nesting_of_spellings(
    inside: str, spellings: list[Callable[[str], str]]
) -> None:
    value = f"Kq7x{inside}Zw9y"
    text = value
    for spell in spellings:
        text = spell(text)
    begin, end = text.index("Kq7x"), text.index("Zw9y") + 4
    masked = f"before {text[:begin]}***{text[end:]} behind"
    assert mask_values(f"before {text} behind", [value]) == masked


@given(st.lists(ODD, max_size=30).map("".join))
def test_every_part_of_a_reading_comes_from_a_part_of_the_text(text: str) -> None:
    for reading in readings(text):
        places = [reading.origin(at, at + 1) for at in range(len(reading.text))]
        assert all(0 <= start < end <= len(text) for start, end in places)
        assert places == sorted(places)
        if places:
            whole = (places[0][0], places[-1][1])
            assert reading.origin(0, len(reading.text)) == whole


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ('C:\\network"x', 'at C:\\\\network\\"x', "at ***"),
        ('network"x', 'at C:\\\\network\\"x', "at C:***"),
        ("50%+tax", "50%25%2Btax", "***"),
        ("two words", "TWO+WORDS", "***"),
        ("\N{GREEK CAPITAL LETTER SIGMA}" * 5, "\N{GREEK SMALL LETTER FINAL SIGMA}" * 5, "***"),
        ("a\\\\\\\\", "a and a\\\\\\\\", "a and ***"),
        ("%41%42", "AB, %41%42 and %2541%2542", "AB, *** and ***"),
        ("&lt;&gt;x", "<>x and &amp;lt;&amp;gt;x", "<>x and ***"),
        ("\\" * 4, "no value", "no value"),
    ],
)
def test_a_value_that_has_escapes_itself(value: str, text: str, masked: str) -> None:
    assert mask_values(text, [value]) == masked


# ---- what hostile values and texts cost


def milliseconds(work: Callable[[], object]) -> float:
    """The processor time of the fastest of several runs: other processes do not count."""
    taken = []
    for _ in range(5):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return min(taken) * 1000


DOCUMENT = json.dumps(
    {
        "company": 'Example "Holding" & Sons',
        "seats": [{"name": "a/b", "n": 1}, {"name": "c-d", "n": 2}],
        "note": "50% + more; it's \N{EURO SIGN}",
    }
)[:130]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-" * 16 + "x", "-" * 16 + "y"),
        ("-" * 20 + " Terms", "-" * 20 + " Address"),
        *((DOCUMENT, f"refused: {DOCUMENT[:length]} and more text") for length in (80, 90, 100)),
        (" ".join(["word"] * 30), " ".join(["word"] * 24)),
        ("\\" * 100 + "x", "\\" * 1000 + "y"),
    ],
)
def test_a_part_of_a_value_costs_nothing(value: str, text: str) -> None:
    assert mask_values(text, [value]) == text
    with secret_scope():
        register_scoped_secrets([value])
        assert mask_secrets(text) == text
        assert milliseconds(lambda: mask_secrets(text)) < 10
    assert milliseconds(lambda: mask_values(text, [value])) < 10


#: Each so often that a quadratic search would take minutes.
@pytest.mark.parametrize(
    "part",
    [
        "SU-",
        "SU-a:",
        "ApiKey ",
        "ApiKey%20",
        "://",
        "://a:",
        "://a:b",
        "?password=",
        "@",
        "\\",
        "%",
    ],
)
@pytest.mark.parametrize("is_whole", [False, True])
def test_no_shape_of_a_secret_makes_a_text_costly(part: str, is_whole: bool) -> None:
    with secret_scope():
        register_scoped_secrets([SECRET])
        for begin in ("", "://u:", "SU-"):
            work = partial(mask_secrets, begin + part * 20_000, is_whole=is_whole)
            assert milliseconds(work) < 800


HOSTILE = r"""\ \\n \u00e9 - " ' % %25 %C3%A9 & &amp; amp; + a 25 SU- ://a: @ : {"a":"""

PARTS = st.lists(
    st.sampled_from([*HOSTILE.split(), " ", "\N{EURO SIGN}"]), min_size=1, max_size=4
).map("".join)


@settings(max_examples=40, deadline=None)
@given(value=PARTS, text=PARTS, end=st.sampled_from(["", "x", "\\", '"', "%"]))
@example(value="-", text="-", end="x")
@example(value="\\", text="\\", end="")
@example(value="SU-", text="SU-", end=":")
@example(value='{"a": "', text='{"a": "', end="}")
def test_eight_times_the_text_takes_about_eight_times_as_long(
    value: str, text: str, end: str
) -> None:
    def cost(times: int) -> float:
        hostile = text * (times * 1500 // len(text))
        values = [value * (times * 300 // len(value)) + end, value * 8 + end]
        return milliseconds(lambda: mask_values(hostile, values)) + _cost_of_secrets(
            hostile, values
        )

    # A quadratic search takes 64 times as long.
    assert cost(8) <= 24 * max(cost(1), 0.5)


def _cost_of_secrets(text: str, values: list[str]) -> float:
    with secret_scope():
        register_scoped_secrets(values)
        return milliseconds(lambda: mask_secrets(text, is_whole=True))


def test_thousands_of_values_cost_no_more_than_a_bounded_search() -> None:
    values = [f"{'a' * 40}{number:06}{'a' * 40}" for number in range(20_000)]
    text = "a" * 30_000
    assert mask_values(text, values) == "*** (30000 characters)"
    assert mask_values(f"is {values[7]}", values) == "is ***"
    assert milliseconds(lambda: mask_values(text, values[:250])) < 3000


# ---- what is too long


def test_a_long_text_is_cut_and_says_so() -> None:
    text = "word " * 40_000
    masked = mask_secrets(text)
    assert len(masked) <= LONGEST_TEXT
    kept, _, said = masked.partition("… ")
    assert text.startswith(kept)
    assert said == f"({len(text) - len(kept)} more characters)"
    assert mask_secrets(masked) == masked
    assert mask_secrets(text, is_whole=True) == text
    assert mask_secrets("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT


@pytest.mark.parametrize("before", range(LONGEST_TEXT - 120, LONGEST_TEXT + 20, 7))
@pytest.mark.parametrize("spell", [str, quote, json.dumps])
def test_no_part_of_a_secret_at_the_cut_is_shown(before: int, spell: Callable[[str], str]) -> None:
    value = 'wörd"' * 12
    with secret_scope():
        register_scoped_secrets([value])
        text = "." * before + spell(value) + "." * LONGEST_TEXT
        assert "rd" not in mask_secrets(text)
        assert "hunter" not in mask_secrets("." * before + f" redis://:{'hunter' * 20}@h" + text)


@pytest.mark.parametrize("spell", [str, quote, json.dumps, html.escape])
@pytest.mark.parametrize("beyond", [1, 50, 100_000])
def test_a_very_long_value_is_masked_from_its_beginning_to_the_end_of_the_text(
    spell: Callable[[str], str], beyond: int
) -> None:
    value = ('wörd"%41&' * LONGEST_VALUE)[: LONGEST_VALUE + beyond]
    begin, *_ = spell(value).partition("w")
    text = f"before {spell(value)} behind"
    assert mask_values(text, [value]) == f"before {begin}***"
