"""What a run of pytest says of a mutant: a promise was broken, or something else went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

#: pytest's exit codes for "all passed" and "some failed"; any other is no result.
PASSED, FAILED = 0, 1

#: An assertion; `[run] = runs` is one, too.
JUDGED = re.compile(r"assert|AssertionError|ValueError: (not enough|too many) values to unpack")
#: The suite's words for a process that ended by itself, and for a wait that took too long.
ENDED = re.compile(r"AssertionError: \S+ ended:")
WAITED = re.compile(r"AssertionError: not within ")


class Verdict(StrEnum):
    """How a test ended, and then how a mutant did."""

    PASSED = "passed"
    #: The mutant is caught.
    FAILED = "failed"
    #: Neither: an import error, a crash, a wait in vain.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Told:
    """One test's end."""

    test: str
    verdict: Verdict
    why: str = ""


def read_report(path: Path, *, waits: bool) -> list[Told]:
    """Read pytest's JUnit report.

    Args:
        path: The report.
        waits: Whether a wait in vain shows a broken promise.
    """
    cases = ElementTree.parse(path).iter("testcase")  # noqa: S314 - pytest's own
    return [told for case in cases for told in _tell(case, waits=waits)]


def _tell(case: ElementTree.Element, *, waits: bool) -> Iterator[Told]:
    name = case.get("name", "")
    if case.find("skipped") is not None:
        yield Told(name, Verdict.BROKEN, "it was skipped")
    elif (error := case.find("error")) is not None:
        yield Told(name, Verdict.BROKEN, error.get("message", ""))
    elif (failure := case.find("failure")) is not None:
        why = failure.get("message", "")
        yield Told(name, of_failure(why, waits=waits), why)
    else:
        yield Told(name, Verdict.PASSED)


def of_failure(why: str, *, waits: bool) -> Verdict:
    """Tell a broken promise from a broken worker by the failure's message."""
    if ENDED.match(why) or not JUDGED.match(why) or (WAITED.match(why) and not waits):
        return Verdict.BROKEN
    return Verdict.FAILED


def of_run(exit_code: int, told: list[Told]) -> Verdict:
    """Put the tests' verdicts together."""
    verdicts = {item.verdict for item in told}
    if exit_code not in (PASSED, FAILED) or not told or Verdict.BROKEN in verdicts:
        return Verdict.BROKEN
    return Verdict.FAILED if Verdict.FAILED in verdicts else Verdict.PASSED
