r"""The patterns of a source, and the texts that make a pattern slow: tests/unit/test_patterns.py.

A pattern is read as an automaton with a position for each place that takes a character. A
lookaround is a pattern of its own. An anchor counts only at the beginning. So the rule may refuse a
pattern that is fast; it is then an exception, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise, product
from re import _compiler, _parser  # type: ignore[attr-defined]  # Python's own reader of patterns
from typing import Any, NamedTuple

SEARCHES = frozenset({"search", "sub", "subn", "split", "findall", "finditer"})
MATCHES = frozenset({"match", "fullmatch"})

#: Of a repeat that is no loop so many copies are looked at.
COPIES = 3
#: A repeat up to this number of times is no loop: it makes the time longer by a constant. Inside of
#: another repeat it counts as one, for the constant would be a power.
MOST_TIMES = 128
#: The characters by which patterns are compared, with those that a pattern names.
ALPHABET = frozenset(map(chr, range(128))) | set("\x85\xa0éÿß٣中\u2028\U0001f600\udc80")


# ---- a pattern as an automaton


class Edge(NamedTuple):
    """A way from one position to another."""

    to: int
    characters: frozenset[str]
    #: The part of the pattern that makes it: two repeats may make two ways to the same position.
    reason: int


@dataclass(slots=True)
class Part:
    """A part of a pattern: where it begins and ends."""

    #: Whether it can be passed without a character.
    is_empty: bool
    #: The same, without a condition such as `$` or a lookahead.
    is_free: bool
    first: list[int] = field(default_factory=list)
    #: The positions that it may end at, and the characters that can't come next there.
    last: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    #: Those after which it ends without a condition.
    ends: set[int] = field(default_factory=set)


#: Positions that a text leads to in several ways at once; the last item is no position.
State = tuple[int, ...]
NOTHING: frozenset[str] = frozenset()
#: The position before the pattern, which takes any character while a text is searched.
SCAN = 0


class Automaton:
    """The positions of a pattern, and the ways between them that Python's engine tries."""

    def __init__(
        self, parsed: Any, flags: int, alphabet: frozenset[str], *, most_times: int
    ) -> None:
        self._state = parsed.state
        self._alphabet = alphabet
        self._most_times = most_times
        self._reasons = 0
        self.characters: list[frozenset[str]] = [alphabet]
        self.ways: dict[int, list[Edge]] = defaultdict(list)
        #: The bodies of lookarounds, with their flags.
        self.lookarounds: list[tuple[Any, int]] = []
        whole = self._sequence(parsed, flags)
        self._join([(SCAN, NOTHING)], [SCAN, *whole.first])
        #: The positions at which the pattern has matched, whatever follows.
        self.ends = whole.ends

    def _sequence(self, items: Iterable[Any], flags: int) -> Part:
        whole = Part(is_empty=True, is_free=True)
        for kind, value in items:
            part = self._part(kind.name, value, flags)
            self._join(whole.last, part.first)
            whole = Part(
                whole.is_empty and part.is_empty,
                whole.is_free and part.is_free,
                whole.first + (part.first if whole.is_empty else []),
                part.last + (whole.last if part.is_empty else []),
                part.ends | (whole.ends if part.is_free else set()),
            )
        return whole

    def _part(self, kind: str, value: Any, flags: int) -> Part:
        match kind, value:
            case "SUBPATTERN", (_, added, removed, body):
                return self._sequence(body, (flags | added) & ~removed)
            case "ATOMIC_GROUP", body:
                match list(body):
                    case [(repeat, (least, most, repeated))] if repeat.name == "MAX_REPEAT":
                        return self._repeat(least, most, repeated, flags, is_possessive=True)
                return self._sequence(body, flags)
            case "BRANCH", (_, choices):
                return self._choice(self._sequence(choice, flags) for choice in choices)
            case "GROUPREF_EXISTS", (_, yes, no):
                return self._choice(self._sequence(choice or [], flags) for choice in (yes, no))
            case (("MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT"), (least, most, body)):
                is_possessive = kind == "POSSESSIVE_REPEAT"
                return self._repeat(least, most, body, flags, is_possessive=is_possessive)
            case (("ASSERT" | "ASSERT_NOT"), (_, body)):
                self.lookarounds.append((body, flags))
                return Part(is_empty=True, is_free=False)
            case "AT", _:
                return Part(is_empty=True, is_free=False)
            case "GROUPREF", _:
                # What a group matched: any text.
                part = self._position(self._alphabet)
                self._join(part.last, part.first)
                return part
            case _:
                return self._position(self._taken(kind, value, flags))

    def _position(self, characters: frozenset[str]) -> Part:
        new = len(self.characters)
        self.characters.append(characters)
        return Part(False, False, [new], [(new, NOTHING)], {new})

    def _taken(self, kind: str, value: Any, flags: int) -> frozenset[str]:
        item = _parser.SubPattern(self._state, [(getattr(_parser, kind), value)])
        return frozenset(filter(_compiler.compile(item, flags).fullmatch, self._alphabet))

    def _choice(self, choices: Iterable[Part]) -> Part:
        parts = list(choices)
        return Part(
            any(part.is_empty for part in parts),
            any(part.is_free for part in parts),
            [position for part in parts for position in part.first],
            [last for part in parts for last in part.last],
            {position for part in parts for position in part.ends},
        )

    def _repeat(self, least: int, most: int, body: Any, flags: int, *, is_possessive: bool) -> Part:
        is_loop = most > self._most_times
        number = max(1, min(least if is_loop else most, COPIES))
        parts = [self._sequence(body, flags) for _ in range(number)]
        for part, following in pairwise(parts):
            self._join(part.last, following.first)
        ending = parts[min(max(least, 1), number) - 1 :]
        whole = self._choice(ending)
        whole.first = parts[0].first
        whole.is_empty = least == 0 or parts[0].is_empty
        whole.is_free = least == 0 or parts[0].is_free
        if is_loop:
            self._join(parts[-1].last, parts[-1].first)
            if is_possessive and [(item, NOTHING) for item in parts[-1].first] == parts[-1].last:
                # One position: it stops only before a character that it does not take.
                barred = NOTHING.union(*(self.characters[item] for item in parts[-1].first))
                whole.last = [(item, barred) for item, _ in whole.last]
        return whole

    def _join(self, last: Iterable[tuple[int, frozenset[str]]], first: Collection[int]) -> None:
        self._reasons += 1
        for (position, barred), following in product(last, first):
            if characters := self.characters[following] - barred:
                self.ways[position].append(Edge(following, characters, self._reasons))

    # ---- what a text can do

    def path(
        self,
        start: State,
        goal: Callable[[State], bool],
        avoid: AbstractSet[int] = frozenset(),
    ) -> str | None:
        """Return a text that leads from some positions at once to a goal; None if there is none.

        Args:
            start: The positions, and 0: it becomes 1 once two of the ways were different.
            goal: Whether a state is the one looked for.
            avoid: The positions that none of the ways may touch.
        """
        texts: dict[State, str] = {start: ""}
        waiting = deque([start])
        while waiting:
            *positions, is_split = state = waiting.popleft()
            for edges in product(*(self.ways[position] for position in positions)):
                common = frozenset.intersection(*(edge.characters for edge in edges))
                if not common:
                    continue
                split = int(is_split or len(set(edges)) > 1)
                following = (*(edge.to for edge in edges), split)
                if not avoid.isdisjoint(following[:-1]):
                    continue
                text = texts[state] + min(common, key=_plainness)
                if goal(following):
                    return text
                if following not in texts:
                    texts[following] = text
                    waiting.append(following)
        return None

    def loop(self, position: int) -> str | None:
        """Return a text that leads from a position back to it."""
        return self.path((position, 0), lambda state: state[0] == position)

    def way_to(self, position: int) -> str:
        """Return a text that leads to a position from the beginning."""
        found = self.path((SCAN, 0), lambda state: state[0] == position)
        assert found is not None
        return found

    def loops(self) -> dict[int, str]:
        """Return the positions that are in a loop, with a text for each."""
        positions = range(1, len(self.characters))
        return {item: text for item in positions if (text := self.loop(item)) is not None}


def _plainness(character: str) -> tuple[bool, str]:
    """The order in which characters are taken for an example."""
    return not character.isalnum(), character


# ---- the rule


@dataclass(frozen=True, slots=True)
class Problem:
    """A text that makes a pattern slow: after the prefix, the more often the pump comes."""

    what: str
    prefix: str
    pump: str

    def __str__(self) -> str:
        return f"{self.what}: {self.prefix!r} and many times {self.pump!r}"


NESTED = "a repeat inside a repeat"
NEIGHBORS = "two repeats of the same characters in a row"
SCANS = "a repeat at the beginning of a search"


def automata_of(
    pattern: str, flags: int = 0, *, most_times: int = MOST_TIMES
) -> Iterator[tuple[Automaton, bool]]:
    """Yield a pattern and its lookarounds, each with whether it begins at one place only."""
    parsed = _parser.parse(pattern, flags)
    named = frozenset(pattern)
    alphabet = ALPHABET | named | set("".join(named).swapcase())
    bodies = deque([(parsed, parsed.state.flags)])
    while bodies:
        body, own_flags = bodies.popleft()
        automaton = Automaton(body, own_flags, alphabet, most_times=most_times)
        places = [value.name for kind, value in body[:1] if kind.name == "AT"]
        is_fixed = "AT_BEGINNING_STRING" in places or (
            "AT_BEGINNING" in places and not own_flags & re.MULTILINE
        )
        yield automaton, is_fixed
        bodies.extend(automaton.lookarounds)


def problems_of(pattern: str, flags: int = 0, *, is_searched: bool = True) -> Iterator[Problem]:
    """Find what makes a pattern slow."""
    for automaton, _ in automata_of(pattern, flags, most_times=COPIES):
        for at in automaton.loops():
            # Two ways from a position back to itself, with the same text.
            if text := automaton.path((at, at, 0), (at, at, 1).__eq__):
                yield Problem(NESTED, automaton.way_to(at), text)
    for automaton, is_fixed in automata_of(pattern, flags):
        loops = automaton.loops()
        for first, second in product(loops, loops):
            text = _slide(automaton, first, second)
            if text and not automaton.path((second, 0), lambda state: state[0] == first):  # noqa: B023
                yield Problem(NEIGHBORS, automaton.way_to(first), text)
        for at in loops if is_searched and not is_fixed else ():
            # At an end the pattern has matched, and the search begins again behind it.
            if text := _slide(automaton, SCAN, at, avoid=automaton.ends):
                yield Problem(SCANS, "", text)


def _slide(
    automaton: Automaton, first: int, second: int, avoid: AbstractSet[int] = frozenset()
) -> str | None:
    """Return a text that both loops take, and that leads from the first to the second."""
    if first == second:
        return None
    return automaton.path((first, first, second, 0), (first, second, second, 1).__eq__, avoid)


# ---- the patterns of a source


@dataclass(frozen=True, slots=True)
class Use:
    """A pattern in the source."""

    path: str
    line: int
    #: As Python writes the expression.
    source: str
    #: None where it is not known before the program runs.
    pattern: str | None
    flags: int = 0
    #: Whether it is tried at each place of a text, and not only at the beginning.
    is_searched: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.source}"


def uses_in(sources: Mapping[str, str]) -> Iterator[Use]:
    """Find the patterns in Python files, given as texts by path."""
    trees = {path: ast.parse(source) for path, source in sources.items()}
    searched = _searched_names(trees)
    for path, tree in trees.items():
        constants = _constants(tree)
        # A pattern with a name that only `match` and `fullmatch` are called of is not searched.
        names = {id(node.value): name for node, name in _assignments(tree)}
        by_others = _matched_by_others(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "re":
                yield Use(path, node.lineno, ast.unparse(node), None)
            function = _function_of_re(node)
            if function == "compile":
                is_named = id(node) in names and names[id(node)] not in searched[path]
                is_matched = is_named or id(node) in by_others
            elif function in SEARCHES | MATCHES:
                is_matched = function in MATCHES
            elif id(node) in by_others and isinstance(node, ast.Constant | ast.JoinedStr):
                yield Use(path, node.lineno, ast.unparse(node), _text_of(node, constants), 0, False)
                continue
            else:
                continue
            assert isinstance(node, ast.Call)
            argument = node.args[0]
            yield Use(
                path,
                node.lineno,
                ast.unparse(argument),
                _text_of(argument, constants),
                _flags_of(node),
                not is_matched,
            )


def _function_of_re(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)):
            return name
    return ""


def _matched_by_others(tree: ast.Module) -> set[int]:
    """What marshmallow's `Regexp` and Tornado's `url` get, which match."""
    return {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and node.args
        and ast.unparse(node.func) in ("Regexp", "validate.Regexp", "url")
    }


def _assignments(tree: ast.AST) -> Iterator[tuple[Any, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield node, name


def _constants(tree: ast.Module) -> dict[str, str]:
    """The texts that a module gives a name."""
    found: dict[str, str] = {}
    for node, name in _assignments(ast.Module(tree.body, [])):
        if node in tree.body and (text := _text_of(node.value, found)) is not None:
            found[name] = text
    return found


def _text_of(node: ast.expr | None, constants: Mapping[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return constants.get(name)
        case ast.FormattedValue(value=value, format_spec=None):
            return _text_of(value, constants)
        case ast.JoinedStr(values=values):
            texts = [_text_of(value, constants) for value in values]
            return None if None in texts else "".join(map(str, texts))
    return None


def _flags_of(call: ast.Call) -> int:
    """The flags of a call: all of the module's names for them among its arguments."""
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    flags = 0
    for node in (part for argument in given for part in ast.walk(argument)):
        match node:
            case ast.Attribute(value=ast.Name(id="re"), attr=name):
                flags |= re.RegexFlag.__members__.get(name, 0)
    return flags


def _searched_names(trees: Mapping[str, ast.Module]) -> Mapping[str, AbstractSet[str]]:
    """The names of each module whose pattern may be tried at each place of a text."""
    searched: dict[str, set[str]] = {path: set() for path in trees}
    attributes: set[str] = set()
    for path, tree in trees.items():
        nodes = list(ast.walk(tree))
        owners = {
            name.name: f"{node.module.replace('.', '/')}.py"
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
        }
        matched = _matched_by_others(tree) | {
            id(node.value)
            for node in nodes
            if isinstance(node, ast.Attribute) and node.attr in MATCHES
        }
        for node in nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Load()) if id(node) not in matched:
                    searched.get(owners.get(name, path), set()).add(name)
                case ast.Attribute(attr=name, ctx=ast.Load()) if id(node) not in matched:
                    attributes.add(name)
    return {path: names | attributes for path, names in searched.items()}
