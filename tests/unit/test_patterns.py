r"""A regular expression takes time in proportion to its text, whatever the text is.

Texts of customers, of Connect and of the network meet the patterns of this project, and Python's
engine tries every way to match. So a pattern of `connect_worker` and `tasks` is refused if there
are texts that it matches in so many ways that the time grows faster than the text:

- a repeat inside a repeat, such as `(a+)+`: the time doubles with each character. Make the inner
  one possessive (`a++`), or let it exclude the characters that may follow it.
- two repeats of the same characters in a row, such as `a*a*b` or `.*,.*;`: the time grows with the
  square. Let the first exclude what separates them: `[^,]*,[^;]*;`.
- a repeat at the beginning of a search, such as `.*x` or `\w+@`: the search begins again at each
  character. Begin with a character that the repeat excludes, or use `match`.
- a pattern that is put together while the program runs: nobody can check it. Write a literal.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import pytest

from tests.support.patterns import (
    NEIGHBORS,
    NESTED,
    SCANS,
    Use,
    automata_of,
    problems_of,
    uses_in,
)

ROOT = Path(__file__).parents[2]
FOLDERS = ("connect_worker", "tasks")

#: Patterns that break the rule, by file and source, with the reason why that is harmless.
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("connect_worker/sandbox/faults.py", "self.path"): "the tester's own rule, in the sandbox",
    ("connect_worker/sandbox/http.py", "pattern"): "made of the sandbox's table of routes",
    (
        "connect_worker/ledger/scripts.py",
        "'|'.join((f'\\\\b{name}\\\\b' for name in SHARED_CONSTANTS))",
    ): "made of the names of the code's own constants",
    (
        "connect_worker/observability/masking.py",
        "'\\\\b(SU-[\\\\w-]*+:[\\\\w.~+/=-]++)|\\\\bSU-[\\\\w-]*+'",
    ): "where the first choice fails, the second takes what it has read",
}


#: A text that is eight times longer may take this many times longer. Square growth would be 64.
MOST_GROWTH = 24


def growth(match: Callable[[str], object], prefix: str, pump: str) -> float:
    """Return how many times longer a match takes with a text that is eight times longer."""
    short, long = (
        seconds_of(match, prefix + pump * (length // len(pump)) + "\0") for length in (600, 4_800)
    )
    # Below 50 µs the clock and the call itself count for too much.
    return long / max(short, 50e-6)


def seconds_of(match: Callable[[str], object], text: str) -> float:
    """Return the time of a match in this thread, the shortest of three."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        match(text)
        taken.append(time.thread_time() - began)
    return min(taken)


# ---- the rule itself

REFUSED = [
    (r"(a+)+", 0, NESTED),
    (r"(a*)*", 0, NESTED),
    (r"(?:a?b?)*", 0, NESTED),
    (r"(?:a|ab|b)*", 0, NESTED),
    (r"(\w+\s?)*", 0, NESTED),
    (r"(?:[a-z]+[0-9]*)*", 0, NESTED),
    (r"(?=(?:a+)+$)", 0, NESTED),
    (r"(?:a{1,3}){1,64}b", 0, NESTED),
    (r"(?:a|ab|b){1,64}c", 0, NESTED),
    (r"a*a*b", 0, NEIGHBORS),
    (r"a+[ab]?a+b", 0, NEIGHBORS),
    (r".*,.*;", 0, NEIGHBORS),
    (r"\d+\d{2}\d*x", 0, NEIGHBORS),
    (r"[a-f]*A+x", re.I, NEIGHBORS),
    (r"(?:x[a-f]*)(?:[d-z]*y)", 0, NEIGHBORS),
    (r".*x", 0, SCANS),
    (r".*?x", 0, SCANS),
    (r"\s+$", 0, SCANS),
    (r"\w+@", 0, SCANS),
    (r"(?>\w+)@", 0, SCANS),
    (r"\w++@", 0, SCANS),
    (r"(?:ab)+c", 0, SCANS),
    (r"(?:a+b)+", 0, SCANS),
    (r" Task poll\[.* succeeded ", 0, SCANS),
]


@pytest.mark.parametrize(("pattern", "flags", "what"), REFUSED)
def test_a_slow_pattern_is_refused(pattern: str, flags: int, what: str) -> None:
    found = list(problems_of(pattern, flags))
    assert what in {problem.what for problem in found}
    # A pattern that is tried at one place only may begin with a repeat.
    is_slow = bool(list(problems_of(pattern, flags, is_searched=False)))
    assert is_slow == (what != SCANS)


@pytest.mark.parametrize(("pattern", "flags", "what"), REFUSED)
def test_what_is_refused_is_slow(pattern: str, flags: int, what: str) -> None:
    problem = next(item for item in problems_of(pattern, flags) if item.what == what)
    compiled = re.compile(pattern, flags)
    match = compiled.search if what == SCANS else compiled.fullmatch

    if what == NESTED:
        texts = (problem.prefix + problem.pump * number + "\0" for number in count(1))
        assert len(next(text for text in texts if seconds_of(match, text) > 0.005)) < 64
    else:
        assert growth(match, problem.prefix, problem.pump) > MOST_GROWTH


@pytest.mark.parametrize(
    ("pattern", "flags", "is_searched"),
    [
        (r"a+", 0, True),
        (r"\d+|x", 0, True),
        (r"(?:a++)+", 0, True),
        (r"(?:a++b)+", 0, False),
        (r"(?>a+)+b", 0, False),
        (r"a++[ab]?+a+b", 0, False),
        (r"(?:%(?:25)*[0-9A-F]{2})+", 0, True),
        (r"[a-z0-9]*(_[a-z0-9]+)*", 0, False),
        (r"[^,]*,[^;]*;", 0, False),
        (r'"[^"]*"', 0, True),
        (r"limit=\w+&", 0, True),
        (r"^\s*x", 0, True),
        (r"\A\s*x", re.M, True),
        (r".*x", 0, False),
        (r"\d{1,40}\.?\d{1,40}x", 0, True),
        (r"(?<!\\)\*", 0, True),
        (r"(?i:a*)B", 0, False),
        (r"a*A+b", 0, False),
    ],
)
def test_a_fast_pattern_is_accepted(pattern: str, flags: int, is_searched: bool) -> None:
    assert list(problems_of(pattern, flags, is_searched=is_searched)) == []


# ---- the reading of the source

SOURCE = """
import re
from re import match as m
from vendor import Regexp
from other import SHARED
ID = r"[a-z]+"
NAME: Final = re.compile(rf"{ID}-{ID}", re.I | re.A)
ANY = re.compile(ID)
BY_KIND = {1: re.compile("by kind")}
class Reader:
    PART = re.compile("part")
    WHOLE = re.compile("whole")
    def read(self, text):
        return self.PART.search(text) or self.WHOLE.match(text)
CHECKED = Regexp(re.compile("checked"), error="checked re.X")
PLAIN = validate.Regexp("plain")
ROUTES = [url(r"/route", Handler)]

def read(text, pattern):
    NAME.fullmatch(text)
    ANY.search(text) or SHARED.match(text)
    re.sub("put", "in", text, flags=re.S)
    re.fullmatch(pattern, text)
    re.split("a" + "b", text)
"""


def test_each_pattern_of_a_source_is_found() -> None:
    other = """import re\nSHARED = re.compile("shared")\nUNUSED = re.compile("unused")"""
    found = {
        use.source: (use.pattern, use.flags, use.is_searched)
        for use in uses_in({"my/code.py": SOURCE, "other.py": other})
    }
    assert found == {
        "from re import match as m": (None, 0, True),
        "f'{ID}-{ID}'": ("[a-z]+-[a-z]+", re.I | re.A, False),
        "ID": ("[a-z]+", 0, True),
        "'by kind'": ("by kind", 0, True),
        "'part'": ("part", 0, True),
        "'whole'": ("whole", 0, False),
        "'checked'": ("checked", 0, False),
        "'/route'": ("/route", 0, False),
        "'plain'": ("plain", 0, False),
        "'put'": ("put", re.S, True),
        "pattern": (None, 0, False),
        "'a' + 'b'": (None, 0, True),
        "'shared'": ("shared", 0, False),
        "'unused'": ("unused", 0, False),
    }


# ---- the tree

USES = list(
    uses_in(
        {
            path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
            for folder in FOLDERS
            for path in sorted((ROOT / folder).rglob("*.py"))
        }
    )
)


def test_the_patterns_of_the_tree_take_linear_time() -> None:
    assert len(USES) > 40
    refused = [
        f"{use}: {'no literal' if problem is None else problem}"
        for use in USES
        if (use.path, use.source) not in EXCEPTIONS
        for problem in (
            [None]
            if use.pattern is None
            else problems_of(use.pattern, use.flags, is_searched=use.is_searched)
        )
    ]
    assert refused == []


@pytest.mark.parametrize("use", [use for use in USES if use.pattern is not None], ids=str)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(use: Use) -> None:
    assert use.pattern is not None
    compiled = re.compile(use.pattern, use.flags)
    match = compiled.search if use.is_searched else compiled.fullmatch
    # It would not come to an end.
    assert NESTED not in {problem.what for problem in problems_of(use.pattern, use.flags)}
    for automaton, _ in automata_of(use.pattern, use.flags):
        for position, pump in automaton.loops().items():
            way = automaton.way_to(position)
            assert growth(match, way, pump) < MOST_GROWTH
            assert growth(match, "", way + pump) < MOST_GROWTH


def test_no_exception_is_left_over() -> None:
    refused = {
        (use.path, use.source)
        for use in USES
        if use.pattern is None
        or any(problems_of(use.pattern, use.flags, is_searched=use.is_searched))
    }
    assert refused == EXCEPTIONS.keys()
