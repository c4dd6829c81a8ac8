"""The mutation proof refuses everything that would make it prove nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutants.__main__ import main
from tools.mutants.table import MUTANTS, Edit, Mutant
from tools.mutants.tree_copy import EditError, TreeCopy, WrongCodeError, apply_edit
from tools.mutants.verdict import (
    FAILED,
    PASSED,
    CaseResult,
    Verdict,
    of_failure,
    of_run,
    read_report,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_each_mutant_fits_the_code_and_names_tests_that_exist(mutant: Mutant) -> None:
    for edit in mutant.edits:
        text = (ROOT / edit.path).read_text()
        assert apply_edit(text, edit) != text
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()


@pytest.mark.parametrize(("text", "times"), [("", 0), ("let go; let go", 2)])
def test_an_edit_that_does_not_fit_once_is_refused_with_its_file_and_text(
    text: str, times: int
) -> None:
    with pytest.raises(EditError) as caught:
        apply_edit(text, Edit("a/file.py", "let go", "hold"))
    assert str(caught.value) == f"a/file.py: found {times} times, not once:\nlet go"


@pytest.mark.parametrize(
    ("why", "verdict"),
    [
        ("assert 2 == 1", Verdict.FAILED),
        ("AssertionError: a message without a claim costs no attempt", Verdict.FAILED),
        ("ValueError: too many values to unpack (expected 1)", Verdict.FAILED),
        ("ImportError: cannot import name 'Pulse'", Verdict.BROKEN),
        ("AssertionError: one ended:\nSyntaxError: invalid syntax", Verdict.BROKEN),
        ("AssertionError: not within 60.0 s: every request is resolved", Verdict.BROKEN),
        ("worker 'gw0' crashed while running 'a test'", Verdict.BROKEN),
    ],
)
def test_only_a_broken_promise_catches_a_mutant(why: str, verdict: Verdict) -> None:
    assert of_failure(why, waits=False) is verdict


def test_a_timeout_catches_a_mutant_whose_promise_is_that_something_happens() -> None:
    assert of_failure("AssertionError: not within 60.0 s: done", waits=True) is Verdict.FAILED


REPORT = """<testsuites><testsuite>
<testcase name="good"/>
<testcase name="caught"><failure message="assert 2 == 1">…</failure></testcase>
<testcase name="harness"><error message="failed on setup">…</error></testcase>
<testcase name="absent"><skipped message="no server"/></testcase>
</testsuite></testsuites>"""


def test_the_report_distinguishes_failures_from_errors_and_skipped_tests(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    results = read_report(path, waits=False)
    assert {result.test: result.verdict for result in results} == {
        "good": Verdict.PASSED,
        "caught": Verdict.FAILED,
        "harness": Verdict.BROKEN,
        "absent": Verdict.BROKEN,
    }


GOOD, BAD, ODD = (CaseResult(verdict, verdict) for verdict in Verdict)


@pytest.mark.parametrize(
    ("exit_code", "results", "verdict"),
    [
        (PASSED, [GOOD], Verdict.PASSED),
        (FAILED, [GOOD, BAD], Verdict.FAILED),
        (FAILED, [BAD, ODD], Verdict.BROKEN),
        (PASSED, [], Verdict.BROKEN),
        # pytest's "interrupted", "internal error" and "no such test".
        (2, [BAD], Verdict.BROKEN),
        (3, [BAD], Verdict.BROKEN),
        (4, [], Verdict.BROKEN),
    ],
)
def test_a_run_is_no_proof_when_anything_but_assertions_failed(
    exit_code: int, results: list[CaseResult], verdict: Verdict
) -> None:
    assert of_run(exit_code, results) is verdict


@pytest.fixture
def tree(tmp_path: Path) -> TreeCopy:
    """A copy of a small repository whose original still exists, as this one's does."""
    original = tmp_path / "original"
    (original / "connect_worker").mkdir(parents=True)
    (original / "connect_worker/__init__.py").write_text("WHERE = 'here'\n")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=original, check=True)
    (original / "untracked.py").touch()
    (tmp_path / "copy").mkdir()
    return TreeCopy(original, tmp_path / "copy")


def run_in(tree: TreeCopy, directory: Path, *arguments: str) -> str:
    """Start a process of the role that the arguments name; return its output."""
    code = "import connect_worker; print(connect_worker.WHERE)"
    command = [sys.executable, "-c", code, *arguments]
    ran = subprocess.run(
        command, cwd=directory, env=tree.environment(), check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


def test_a_copy_has_the_tracked_files_and_its_edits(tree: TreeCopy) -> None:
    tree.change([Edit("connect_worker/__init__.py", "here", "there")])
    assert not (tree.directory / "untracked.py").exists()
    assert run_in(tree, tree.directory) == "there"
    assert "here" in (tree.original / "connect_worker/__init__.py").read_text()


def test_the_copys_own_code_is_seen_in_each_kind_of_process(tree: TreeCopy) -> None:
    with pytest.raises(WrongCodeError, match="never seen"):
        tree.require_own_code()
    for role in ("", "worker", "beat"):
        run_in(tree, tree.directory, role)
    with pytest.raises(WrongCodeError, match=r"never seen .*: connect_worker\.sandbox$"):
        tree.require_own_code()
    run_in(tree, tree.directory, "connect_worker.sandbox")
    tree.require_own_code()


def test_a_process_that_runs_the_originals_code_is_reported(tree: TreeCopy) -> None:
    for role in ("", "worker", "beat", "connect_worker.sandbox"):
        run_in(tree, tree.directory, role)
    # `python -c` searches its working directory first.
    run_in(tree, tree.original, "worker")
    with pytest.raises(WrongCodeError, match=r"not the copy's: .*connect_worker/__init__\.py"):
        tree.require_own_code()


def test_the_tool_ends_with_2_and_runs_nothing_when_its_table_is_out_of_date(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = Mutant("gone", (Edit("Makefile", "no such text", ""),), ())
    assert main([], mutants=[gone]) == 2
    captured = capsys.readouterr()
    assert "Makefile: found 0 times, not once:\nno such text" in captured.err
    assert captured.out == ""
