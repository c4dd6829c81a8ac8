"""Reading a collection: every row, each once, whatever happens to it meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.api.responses import cut_levels
from connect_worker.exceptions import InvalidResponse, RateLimited
from tests.support.scripted_server import Call, Reply, serving

Row = dict[str, Any]


class Collection:
    """A collection that a server pages through, and that a test may change between its pages."""

    def __init__(
        self,
        count: int,
        *,
        largest_page: int = 1000,
        counts: bool = True,
        after_page: Callable[[list[Row]], None] = lambda rows: None,
    ) -> None:
        self.rows: list[Row] = [{"id": f"PR-{number}"} for number in range(count)]
        self.largest_page = largest_page
        #: Whether the answers tell how many rows there are.
        self.counts = counts
        self.after_page = after_page

    def __call__(self, call: Call) -> Reply:
        limit, offset = min(call.number("limit"), self.largest_page), call.number("offset")
        page, total = self.rows[offset : offset + limit], len(self.rows)
        span = f"{offset}-{offset + len(page) - 1}" if page else "*"
        self.after_page(self.rows)
        return Reply(
            body=page, headers={"Content-Range": f"items {span}/{total}"} if self.counts else {}
        )


def read(collection: Collection, *, page_size: int = 10, query: Any = None) -> list[str]:
    with serving(collection) as server:
        client = server.client(page_size=page_size)
        return [str(row["id"]) for row in client.get_all("requests", query)]


def ids(count: int) -> list[str]:
    return [f"PR-{number}" for number in range(count)]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 35])
def test_every_row_comes_once(count: int, counts: bool) -> None:
    found = read(Collection(count, counts=counts))
    assert sorted(found) == sorted(ids(count))


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("largest_page", [1, 3, 7])
def test_a_server_with_smaller_pages_than_asked_for_is_read_to_its_end(
    largest_page: int, counts: bool
) -> None:
    found = read(Collection(20, largest_page=largest_page, counts=counts))
    assert sorted(found) == sorted(ids(20))


def test_one_page_takes_one_call() -> None:
    with serving(Collection(10)) as server:
        list(server.client(page_size=10).get_all("requests", {"status": "pending"}))
        [call] = server.calls
    assert call.query == "eq(status,pending)&limit=10&offset=0"


def test_an_empty_collection_takes_one_call() -> None:
    with serving(Collection(0)) as server:
        assert list(server.client().get_all("requests")) == []
        assert len(server.calls) == 1


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("per_page", [1, 4, 10, 25])
def test_rows_that_leave_meanwhile_hide_no_others(per_page: int, counts: bool) -> None:
    gone: list[str] = []

    def settle(rows: list[Row]) -> None:
        gone.extend(row["id"] for row in rows[:per_page])
        del rows[:per_page]

    collection = Collection(60, counts=counts, after_page=settle)
    found = read(collection)
    missed = set(ids(60)) - set(found) - set(gone)
    assert not missed
    assert len(found) == len(set(found))


@given(
    count=st.integers(0, 40),
    largest_page=st.sampled_from([3, 5, 1000]),
    page_size=st.sampled_from([4, 7, 50]),
    counts=st.booleans(),
    seed=st.integers(0, 2**32),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_no_row_that_stays_is_missed(
    count: int, largest_page: int, page_size: int, counts: bool, seed: int
) -> None:
    stay: set[str] = set(ids(count))
    numbers = Random(seed)

    def settle(rows: list[Row]) -> None:
        for _ in range(min(len(rows), numbers.randrange(8))):
            stay.discard(rows.pop(numbers.randrange(len(rows)))["id"])

    collection = Collection(count, counts=counts, largest_page=largest_page, after_page=settle)
    found = read(collection, page_size=page_size)
    assert stay <= set(found)
    assert len(found) == len(set(found))


def test_new_rows_at_the_end_do_not_disturb() -> None:
    collection = Collection(30)
    collection.after_page = lambda rows: rows.append({"id": f"NEW-{len(rows)}"})
    assert set(read(collection)) >= set(ids(30))


def test_an_endpoint_without_paging_is_read_once() -> None:
    rows = [{"id": f"TL-{number}"} for number in range(30)]
    with serving(Reply(body=rows)) as server:
        found = list(server.client(page_size=10).get_all("products/PRD-1/templates"))
        assert found == rows
        assert len(server.calls) <= 4


def test_rows_without_an_id_are_distinguished_by_their_content() -> None:
    rows = [{"parameter": {"id": f"p{number}"}, "id": None} for number in range(30)]
    collection = Collection(0)
    collection.rows = list(rows)
    with serving(collection) as server:
        found = list(server.client(page_size=10).get_all("products/PRD-1/configurations"))
    assert sorted(map(str, found)) == sorted(map(str, rows))


def test_a_count_without_rows_is_looked_into() -> None:
    with serving(Reply(body=[], headers={"Content-Range": "items */5"}), Collection(5)) as server:
        assert len(list(server.client().get_all("requests"))) == 5


@pytest.mark.parametrize(
    ("query", "sent", "limit"),
    [
        ({"limit": 3, "status": "pending"}, "eq(status,pending)&limit=3&offset=0", 3),
        ("eq(a,b)&limit=4&offset=8", "eq(a,b)&limit=4&offset=0", 4),
        ("limit(5,10)", "limit=5&offset=0", 5),
        ({"limit": 5000}, "limit=1000&offset=0", 1000),
    ],
)
def test_a_limit_in_the_query_is_the_size_of_a_page(query: Any, sent: str, limit: int) -> None:
    with serving(Collection(12)) as server:
        assert len(list(server.client().get_all("requests", query))) == 12
        assert server.calls[0].query == sent
        assert all(call.number("limit") <= limit for call in server.calls)


@pytest.mark.parametrize(
    "page", [["PR-1", "PR-2"], [None], {"id": "PR-1"}, "rows", None, [[]], b'[{"id": "PR-1"}, {']
)
def test_a_page_that_is_no_list_of_objects_is_invalid(page: Any) -> None:
    with serving(Reply(body=page)) as server, pytest.raises(InvalidResponse, match="GET requests"):
        list(server.client().get_all("requests"))


#: Rows that Python's parser refuses, with the whole page, and how they are read.
ODD_ROWS: list[tuple[str, Any]] = [
    ("null", {}),
    ("[1]", {}),
    ('{"id": "PR-2", "n": %s}' % ("9" * 5_000), {"id": "PR-2", "n": "9" * 5_000}),
    ('{"id": "PR-2", "d": %s}' % ("[" * 5_000 + "]" * 5_000), None),
    ('{"id": "PR-2", "[{\\"": "}]\\\\", "d": %s}' % ('{"a":' * 5_000 + "1" + "}" * 5_000), None),
    ("[" * 5_000 + "]" * 5_000, {}),
]


@pytest.mark.parametrize(("text", "read"), ODD_ROWS)
def test_an_odd_row_costs_no_other_row(text: str, read: Any) -> None:
    page = f'[{{"id": "PR-1"}}, {text}, {{"id": "PR-3", "d": [[]]}}]'
    with serving(Reply(body=page.encode())) as server:
        first, odd, last = server.client().get_all("requests")
    assert (first, last) == ({"id": "PR-1"}, {"id": "PR-3", "d": [[]]})
    if read is None:
        assert odd["id"] == "PR-2"
        assert json.dumps(odd).count("\\u2026") == 1
    else:
        assert odd == read


@given(
    st.recursive(
        st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\ a')),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('[{"\\a')), inner),
    )
)
def test_what_has_few_levels_is_not_cut(document: Any) -> None:
    text = json.dumps(document)
    assert cut_levels(text) == text


def test_a_page_of_unfinished_texts_takes_linear_time() -> None:
    began = time.perf_counter()
    cut_levels("[" * 200 + '"\\' * 500_000)
    assert time.perf_counter() - began < 5


def test_an_error_on_a_later_page_is_raised() -> None:
    collection = Collection(30)

    def play(call: Call) -> Reply:
        return collection(call) if call.number("offset") == 0 else Reply(429)

    with serving(play) as server:
        rows = server.client(page_size=10).get_all("requests")
        for _ in range(10):
            next(rows)
        with pytest.raises(RateLimited):
            next(rows)


@pytest.mark.parametrize("digits", [13, 5_000])
def test_a_count_that_no_collection_has_is_an_invalid_response(digits: int) -> None:
    header = {"Content-Range": "items 0-0/" + "9" * digits}
    with (
        serving(Reply(body=[{"id": "PR-1"}], headers=header)) as server,
        pytest.raises(InvalidResponse),
    ):
        list(server.client().get_all("requests"))


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(60)),
        ("limit=1", range(1)),
        ("limit=25&offset=50", range(50, 60)),
        ("limit=25&offset=75", range(0)),
        ("offset=45", range(45, 60)),
        ("limit=0", range(60)),
        ("limit=30&offset=20", range(20, 50)),
    ],
)
def test_a_list_has_what_its_limit_and_offset_ask_for(
    query: str, expected: range, counts: bool
) -> None:
    with serving(Collection(60, largest_page=20, counts=counts)) as server:
        rows = list(server.client(page_size=10).get_list("assets", query))
    assert sorted(int(row["id"][3:]) for row in rows) == list(expected)


def test_a_list_of_one_row_takes_one_call() -> None:
    with serving(Collection(60)) as server:
        list(server.client(page_size=10).get_list("assets", {"limit": 1, "order_by": "-created"}))
        [call] = server.calls
    assert call.query == "ordering(-created)&limit=1&offset=0"


def test_a_list_from_an_offset_ends_where_a_server_ignores_the_offset() -> None:
    with serving(lambda _: Reply(body=[{"id": "AS-1"}])) as server:
        client = server.client(max_list_rows=50)
        with pytest.raises(InvalidResponse, match="more than 50 rows"):
            list(client.get_list("assets", "offset=10"))
