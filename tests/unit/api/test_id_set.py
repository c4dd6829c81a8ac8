"""`IdSet` tells apart what a set of texts tells apart."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from connect_worker.api.responses import IdSet

#: Ids that are easily mixed up: few letters, leading zeros, digits of another script.
ids = st.text("0012-PR²٣", max_size=12) | st.from_regex(r"PR-[0-9]{1,4}-[0-9]{1,4}", fullmatch=True)
texts = ids | st.text() | st.text("01", min_size=60, max_size=70)


@given(st.lists(texts))
def test_names_are_a_set(names: list[str]) -> None:
    found, expected = IdSet(), set[str]()
    for name in names:
        assert found.add(name) == (name not in expected)
        expected.add(name)
    assert not any(found.add(name) for name in names)


def test_an_id_of_any_length_is_taken() -> None:
    names = IdSet()
    assert names.add("9" * 10_000)
    assert not names.add("9" * 10_000)


def room(make: Callable[[], Callable[[str], object]]) -> int:
    tracemalloc.start()
    try:
        add = make()
        for number in range(20_000):
            add(f"PR-{number:04d}-0000-000{number % 10}")
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_they_take_less_room_than_a_set() -> None:
    assert room(lambda: IdSet().add) < 0.8 * room(lambda: set[str]().add)
