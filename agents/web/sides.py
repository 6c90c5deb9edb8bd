"""A diff as two columns for the eye: old and new line beside each other, syntax and changed words marked.

Every character is there, and shown as text: what acts or hides is an escape, what looks like another is marked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Literal

from agents.plain_text import LINE_CHARACTERS, foreign, plain
from agents.unseen import MOST_LINES, lines_of

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_WORDS = re.compile(r"\w+|\s+|.")
_LIKE, _MOST_COMPARED = 0.3, 4_000
"""Lines less alike than this, or with more pairs of words, are another line each, and no words of them are marked."""


@dataclass(frozen=True)
class Piece:
    """Some characters of a line, with the classes that they are styled by."""

    text: str
    style: str


@dataclass(frozen=True)
class Side:
    """One line of one column."""

    number: int
    change: Literal["removed", "added", "same"]
    pieces: tuple[Piece, ...]
    foreign: str


@dataclass(frozen=True)
class Line:
    """A line of the view: a header over both columns, or what stands left and right."""

    header: str = ""
    left: Side | None = None
    right: Side | None = None
    kind: Literal["file", "hunk", "line"] = "line"


@lru_cache(maxsize=32)
def side_by_side(diff: bytes) -> tuple[Line, ...]:
    """Return the lines of a unified diff, as many as a view shows."""
    return tuple(_lines(lines_of(diff)[:MOST_LINES]))


def _lines(lines: Sequence[str]) -> Iterator[Line]:
    """Count each hunk's lines, so that none of them passes for a header."""
    place = 0
    while place < len(lines):
        hunk = _HUNK.match(lines[place])
        if hunk is None:
            yield Line(header=plain(lines[place]), kind="file")
            place += 1
            continue
        yield Line(header=plain(lines[place]), kind="hunk")
        end = _end(lines, place + 1, int(hunk[2] or 1), int(hunk[4] or 1))
        yield from _hunk(lines[place + 1 : end], int(hunk[1]), int(hunk[3]))
        place = end


def _end(lines: Sequence[str], place: int, old: int, new: int) -> int:
    while place < len(lines) and (old > 0 or new > 0 or lines[place].startswith("\\")):
        old -= not lines[place].startswith(("+", "\\"))
        new -= not lines[place].startswith(("-", "\\"))
        place += 1
    return place


def _hunk(lines: Sequence[str], old: int, new: int) -> Iterator[Line]:
    removed: list[str] = []
    added: list[str] = []
    for line in lines:
        if line.startswith("-"):
            removed.append(line[1:])
        elif line.startswith("+"):
            added.append(line[1:])
        else:
            yield from _changed(removed, added, old, new)
            old, new = old + len(removed), new + len(added)
            removed, added = [], []
            if line.startswith("\\"):
                yield Line(header=plain(line), kind="hunk")
            else:
                yield Line(left=_side(old, "same", line[1:]), right=_side(new, "same", line[1:]))
                old, new = old + 1, new + 1
    yield from _changed(removed, added, old, new)


def _changed(removed: Sequence[str], added: Sequence[str], old: int, new: int) -> Iterator[Line]:
    """Lines that took each other's place, beside each other."""
    for index, (before, after) in enumerate(zip_longest(removed, added)):
        gone, come = _marks(before, after)
        left = None if before is None else _side(old + index, "removed", before, gone)
        right = None if after is None else _side(new + index, "added", after, come)
        yield Line(left=left, right=right)


def _marks(before: str | None, after: str | None) -> tuple[set[int], set[int]]:
    """The places of the characters that only one of two lines has, by whole words."""
    if before is None or after is None:
        return set(), set()
    if max(len(before), len(after)) > LINE_CHARACTERS:
        return set(), set()
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if len(old) * len(new) > _MOST_COMPARED or matcher.quick_ratio() < _LIKE or matcher.ratio() < _LIKE:
        return set(), set()
    gone: set[int] = set()
    come: set[int] = set()
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            gone.update(range(len("".join(old[:a])), len("".join(old[:b]))))
            come.update(range(len("".join(new[:c])), len("".join(new[:d]))))
    return gone, come


def _side(
    number: int, change: Literal["removed", "added", "same"], line: str, marked: set[int] | frozenset[int] = frozenset()
) -> Side:
    if len(line) > LINE_CHARACTERS:  # its end is not in the view, and says so
        return Side(number, change, (Piece(plain(line), ""),), foreign(line))
    return Side(number, change, tuple(_pieces(line, marked)), foreign(line))


def _pieces(line: str, marked: set[int] | frozenset[int]) -> Iterator[Piece]:
    """Cut a line where its syntax or its marks change."""
    start = 0
    styles = list(_styles(line))
    for place in range(1, len(line) + 1):
        if place == len(line) or styles[place] != styles[start] or (place in marked) != (start in marked):
            yield Piece(plain(line[start:place]), f"{styles[start]} word" if start in marked else styles[start])
            start = place


def _styles(line: str) -> Iterator[str]:
    """The class of each character: how it is coloured as Python, and whether it hides or acts."""
    from pygments.lexers.python import PythonLexer
    from pygments.token import STANDARD_TYPES

    place = 0
    for start, token, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens_unprocessed(line):
        while token not in STANDARD_TYPES:
            token = token.parent
        yield from (["acts" if plain(c) != c else STANDARD_TYPES[token] for c in text] if start == place else [])
        place = start + len(text)
    yield from [""] * (len(line) - place)
