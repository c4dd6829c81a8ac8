"""Outcomes survive being stored, and nothing else is read as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.domain.outcomes import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    NoDecision,
    Outcome,
    Report,
    Skip,
    from_json,
    to_json,
)

TEXT = st.text(max_size=10)
DOCUMENT = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
OUTCOMES = st.one_of(
    st.builds(Approve, template_id=TEXT),
    st.builds(Approve, tile=TEXT | DOCUMENT),
    st.builds(Inquire, TEXT, st.lists(DOCUMENT, max_size=3)),
    st.builds(Fail, TEXT),
    st.builds(Skip, TEXT),
    st.builds(NoDecision),
    st.builds(FileAction, TEXT, st.none() | DOCUMENT),
    st.builds(Report, TEXT),
)


@given(OUTCOMES)
@hypothesis_settings(max_examples=100)
def test_a_stored_outcome_reads_back_as_it_was(outcome: Outcome) -> None:
    assert from_json(json.loads(json.dumps(to_json(outcome)))) == outcome


@given(OUTCOMES)
@hypothesis_settings(max_examples=50)
def test_storing_an_outcome_leaves_it_alone(outcome: Outcome) -> None:
    stored = to_json(outcome)
    stored.clear()
    assert from_json(to_json(outcome)) == outcome


@pytest.mark.parametrize(
    "document",
    [
        None,
        "approve",
        [],
        {},
        {"outcome": "perhaps"},
        {"outcome": None},
        {"outcome": "fail"},
        {"outcome": "leave", "more": 1},
    ],
)
def test_anything_else_is_no_stored_decision(document: Any) -> None:
    with pytest.raises(ValueError, match="stored decision"):
        from_json(document)
