"""What reaches a terminal: one line, in any encoding, also when a process crashes."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_worker.observability.output import (
    accept_any_text,
    dump_json,
    escape,
    escape_lines,
    needs_ascii,
)

CRASH = r"""
import sys, threading
from connect_worker.observability.masking import register_secret
from connect_worker.observability.output import report_crashes
register_secret("canary-0123456789")
report_crashes()
def fail():
    raise ValueError("canary-0123456789 \x1b[2J\n2026-01-01 INFO forged \udc80 é …")
thread = threading.Thread(target=fail, name="a thread\x1b[2J")
thread.start()
thread.join()
fail()
"""

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert escape(text).isprintable()
    assert text.isprintable() is (escape(text) == text)


@given(ANY_TEXT)
def test_lines_stay_lines_and_only_the_first_is_not_indented(text: str) -> None:
    first, *others = escape_lines(text).split("\n")
    assert len(others) == text.count("\n")
    assert all(line.startswith("  ") for line in others)
    assert all(map(str.isprintable, [first, *others]))


@given(st.dictionaries(ANY_TEXT, ANY_TEXT), st.sampled_from([None, 2]))
def test_json_stays_the_same_document(document: dict[str, str], indent: int | None) -> None:
    text = dump_json(document, indent=indent)
    assert all(map(str.isprintable, text.split("\n")))
    # Two lone halves side by side are read as one character.
    assert json.loads(text) == json.loads(json.dumps(document))


@pytest.mark.parametrize(
    ("encoding", "needs"),
    [("utf-8", False), ("UTF8", False), ("ascii", True), ("latin-1", True), ("utf-16", True)],
)
def test_only_utf_8_takes_any_character(encoding: str, needs: bool) -> None:
    assert needs_ascii(io.TextIOWrapper(io.BytesIO(), encoding)) is needs


def test_a_stream_writes_what_it_lacks_as_ascii() -> None:
    written = io.BytesIO()
    with io.TextIOWrapper(written, "ascii") as stream:
        accept_any_text(stream, None, io.StringIO())
        stream.write("a → b … é 漢 \udc80")
        stream.flush()
        assert written.getvalue() == rb"a -> b ... \xe9 \u6f22 \udc80"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_crash_is_written_masked_and_indented(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", CRASH],
        env={"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    lines = done.stderr.decode(encoding).splitlines()
    at_the_margin = [line for line in lines if not line.startswith("  ")]
    assert at_the_margin == [
        r"Exception in a thread\x1b[2J:",
        "Traceback (most recent call last):",
    ]
    assert "".join(lines).isprintable()
    assert [line.split(r"\udc80")[0] for line in lines if "forged" in line] == [
        "  2026-01-01 INFO forged ",
    ] * 2
    assert done.stderr.count(b"ValueError: *** ") == 2
    assert b"canary-0" not in done.stderr
