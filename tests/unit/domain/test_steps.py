"""What the journal takes of a processor's steps."""

from __future__ import annotations

import enum
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_worker.domain.steps import (
    LARGEST,
    CompletedStep,
    as_json,
    entry_name,
    own_steps,
    require_name,
    require_no_password,
    shown_name,
    step_key,
)
from connect_worker.exceptions import InvalidStep, Permanent

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
JSONS = st.recursive(
    SCALARS.filter(lambda value: not (isinstance(value, float) and math.isinf(value))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSONS)
def test_json_is_given_back_as_it_is(document: Any) -> None:
    assert as_json("s", document) == document


class Color(enum.StrEnum):
    RED = "red"


def test_what_json_writes_otherwise_is_given_back_as_a_rerun_will_have_it() -> None:
    found = as_json("s", {"pair": (1, Color.RED)})
    assert found == {"pair": [1, "red"]}
    assert type(found["pair"][1]) is str


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (object(), "its result is a object, which is no JSON"),
        ({"a": [1, {2}]}, "item 1 of 'a' of its result is a set"),
        ({1: "a"}, "a key that is a int"),
        (float("nan"), "its result is nan"),
        (b"bytes", "is a bytes"),
        ("x" * LARGEST, f"{LARGEST + 2} characters"),
    ],
)
def test_what_can_not_be_journaled_is_refused_by_name(result: object, message: str) -> None:
    with pytest.raises(InvalidStep, match="'tenant'") as caught:
        as_json("tenant", result)
    assert message in str(caught.value)
    assert isinstance(caught.value, Permanent)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101, None, 7])
def test_a_step_needs_a_name_that_people_can_read(name: object) -> None:
    with pytest.raises(InvalidStep):
        require_name(name)


@pytest.mark.parametrize("name", ["create-tenant", "Postfach für a:b", "1"])
def test_a_name_survives_the_journal(name: str) -> None:
    require_name(name)
    assert shown_name(entry_name(12, name)) == name
    assert own_steps({entry_name(12, name): [1]}) == [CompletedStep(12, name, [1])]


def test_the_processors_steps_are_distinguished_from_the_engines_and_in_their_order() -> None:
    journal = {"message-1a": 1, **{entry_name(n, f"s{n}"): n for n in (10, 2, 1)}, "approve": 2}
    assert [step.name for step in own_steps(journal)] == ["s1", "s2", "s10"]
    assert shown_name("approve") == "approve"


def test_a_key_is_the_same_for_a_step_of_a_cycle_and_another_for_all_else() -> None:
    keys = {step_key(cycle, name) for cycle in ("v1", "v2") for name in ("a", "b")}
    assert len(keys) == 4
    assert step_key("v1", "a") in keys
    assert "v1" not in keys


@pytest.mark.parametrize("result", ["pw", ["x", {"a": "pw"}], {"pw": 1}, "hidden=long enough."])
def test_a_password_of_the_request_is_refused_wherever_it_is(result: Any) -> None:
    with pytest.raises(InvalidStep) as caught:
        require_no_password("tenant", result, ["pw", "long enough"])
    assert "pw" not in str(caught.value)
    assert "long enough" not in str(caught.value)


def test_a_short_password_that_is_a_part_of_a_word_is_no_password() -> None:
    require_no_password("tenant", {"id": "test-tenant"}, ["test", ""])
