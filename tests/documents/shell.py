"""The simple commands of a shell block, without running any of them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
#: `2>&1` and the like.
_DUPLICATE = re.compile(r"\d>&\d")
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments; no words where a line only sets variables."""

    words: list[str]
    #: What stands before the program, and all that `export` sets.
    variables: dict[str, str] = field(default_factory=dict)


def commands(text: str) -> Iterator[Command]:
    """Read a script's commands, those in `$(…)` too.

    Raises:
        ValueError: The shell does not understand it.
    """
    checked = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    if checked.returncode:
        raise ValueError(checked.stderr)
    for line in text.replace("\\\n", " ").splitlines():
        yield from _of_line(line)


def _of_line(line: str) -> Iterator[Command]:
    words: list[str] = []
    for word in [*_words(line), ";"]:
        if set(word) <= set("&|;()"):
            if words:
                yield _command(words)
            words = []
        else:
            words.append(word)
            for inner in _SUBSTITUTION.findall(word):
                yield from _of_line(inner)


def _words(line: str) -> Iterator[str]:
    lexer = shlex.shlex(_DUPLICATE.sub("", line), posix=True, punctuation_chars="&|;()<>")
    lexer.whitespace_split = True
    words = iter(list(lexer))
    for word in words:
        if set(word) <= set("<>"):
            next(words)
        else:
            yield word


def _command(words: list[str]) -> Command:
    variables: dict[str, str] = {}
    rest = list(words)
    if rest[0] == "export":
        rest = rest[1:]
    while rest and (found := _ASSIGNMENT.fullmatch(rest[0])):
        variables[found[1]] = found[2]
        rest = rest[1:]
    return Command(rest, variables)
