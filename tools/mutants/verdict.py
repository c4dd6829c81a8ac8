"""What a pytest run proves about a mutant: a broken promise, or a failure of another kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

#: pytest's exit codes for "all passed" and "some failed"; with any other the run has no result.
PASSED, FAILED = 0, 1

#: An assertion error. `[run] = runs` counts as an assertion too.
ASSERTION = re.compile(r"assert|AssertionError|ValueError: (not enough|too many) values to unpack")
#: The suite's messages for a process that ended unexpectedly, and for a wait that timed out.
PROCESS_ENDED = re.compile(r"AssertionError: \S+ ended:")
TIMED_OUT = re.compile(r"AssertionError: not within ")


class Verdict(StrEnum):
    """The result of one test, and of a mutant's whole run."""

    PASSED = "passed"
    #: The tests caught the mutant.
    FAILED = "failed"
    #: Neither: an import error, a crash or a timeout.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one test."""

    test: str
    verdict: Verdict
    why: str = ""


def read_report(path: Path, *, waits: bool) -> list[CaseResult]:
    """Read pytest's JUnit report.

    Args:
        path: The report.
        waits: Whether a timeout shows a broken promise.
    """
    cases = ElementTree.parse(path).iter("testcase")  # noqa: S314 - pytest's own
    return [result for case in cases for result in _read_case(case, waits=waits)]


def _read_case(case: ElementTree.Element, *, waits: bool) -> Iterator[CaseResult]:
    name = case.get("name", "")
    if case.find("skipped") is not None:
        yield CaseResult(name, Verdict.BROKEN, "it was skipped")
    elif (error := case.find("error")) is not None:
        yield CaseResult(name, Verdict.BROKEN, error.get("message", ""))
    elif (failure := case.find("failure")) is not None:
        why = failure.get("message", "")
        yield CaseResult(name, of_failure(why, waits=waits), why)
    else:
        yield CaseResult(name, Verdict.PASSED)


def of_failure(why: str, *, waits: bool) -> Verdict:
    """Distinguish a broken promise from a broken worker by the failure's message."""
    is_timeout = TIMED_OUT.match(why) and not waits
    if PROCESS_ENDED.match(why) or not ASSERTION.match(why) or is_timeout:
        return Verdict.BROKEN
    return Verdict.FAILED


def of_run(exit_code: int, results: list[CaseResult]) -> Verdict:
    """Combine the verdicts of the tests of one run."""
    verdicts = {result.verdict for result in results}
    if exit_code not in (PASSED, FAILED) or not results or Verdict.BROKEN in verdicts:
        return Verdict.BROKEN
    return Verdict.FAILED if Verdict.FAILED in verdicts else Verdict.PASSED
