"""A diff as two columns for the eye: old and new line beside each other, syntax and changed words marked.

Every character is there, and shown as text: what acts or hides is an escape, what looks like another is marked.
A line's syntax is seen in its whole file where that is known, for a string may have begun long before; else alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Literal

from agents.errors import TargetError
from agents.plain_text import LINE_CHARACTERS, foreign, plain
from agents.unseen import MOST_LINES, lines_of
from agents.web.syntax import Syntax, python
from agents.workspace import GitWorkspace

Files = tuple[tuple[str, str], ...]
"""The text of whole files, each with the header that names it in a diff: with `--- a/x.py` it is the old side's."""

_OLD, _NEW = "--- ", "+++ "
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
    """One line of one column; `note` is what git says of its end."""

    number: int
    change: Literal["removed", "added", "same"]
    pieces: tuple[Piece, ...]
    foreign: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A line of the view: a header over both columns, or what stands left and right."""

    header: str = ""
    left: Side | None = None
    right: Side | None = None
    kind: Literal["file", "hunk", "line", "note"] = "line"

    @property
    def change(self) -> Literal["same", "added", "removed", "changed"]:
        """What became of the line: `changed` is one that another took the place of."""
        if self.left and self.right:
            return "same" if self.left.change == "same" else "changed"
        if self.left:
            return "removed"
        return "added" if self.right else "same"


@dataclass(frozen=True)
class _Noted:
    """A line that was taken or put in, and git's word that its file ends there without a line feed."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class _Hunk:
    """Lines of a diff under their header, and the numbers of the first of them in both files."""

    header: str
    lines: Sequence[str]
    old: int
    new: int


def whole_files(diff: bytes, workspace: GitWorkspace, base: str, commit: str) -> Files:
    """Return the Python files of a diff between two commits, as far as git has them."""
    found = []
    for header in _parts(lines_of(diff)[:MOST_LINES]):
        if isinstance(header, str) and header.startswith((_OLD, _NEW)) and _is_python(header):
            with suppress(TargetError):
                found.append((header, _read(workspace, base if header.startswith(_OLD) else commit, _path(header))))
    return tuple(found)


@lru_cache(maxsize=64)
def _read(workspace: GitWorkspace, commit: str, path: str) -> str:
    return workspace.read(commit, path) or ""


@lru_cache(maxsize=32)
def side_by_side(diff: bytes, files: Files = ()) -> tuple[Line, ...]:
    """Return the lines of a unified diff, as many as a view shows."""
    return tuple(_lines(lines_of(diff)[:MOST_LINES], dict(files)))


def _lines(lines: Sequence[str], texts: Mapping[str, str]) -> Iterator[Line]:
    left = right = Syntax()
    for part in _parts(lines):
        if isinstance(part, _Hunk):
            yield Line(header=plain(part.header), kind="hunk")
            yield from _rows(part, left, right)
            continue
        yield Line(header=plain(part), kind="file")
        if part.startswith(_OLD):
            left = _syntax(part, texts)
        elif part.startswith(_NEW):
            right = _syntax(part, texts)


def _parts(lines: Sequence[str]) -> Iterator[str | _Hunk]:
    """The headers and hunks of a diff; a hunk's lines are counted, so that none of them passes for a header."""
    place = 0
    while place < len(lines):
        hunk = _HUNK.match(lines[place])
        if hunk is None:
            yield lines[place]
            place += 1
            continue
        end = _end(lines, place + 1, int(hunk[2] or 1), int(hunk[4] or 1))
        yield _Hunk(lines[place], lines[place + 1 : end], int(hunk[1]), int(hunk[3]))
        place = end


def _end(lines: Sequence[str], place: int, old: int, new: int) -> int:
    while place < len(lines) and (old > 0 or new > 0 or lines[place].startswith("\\")):
        old -= not lines[place].startswith(("+", "\\"))
        new -= not lines[place].startswith(("-", "\\"))
        place += 1
    return place


def _rows(hunk: _Hunk, left: Syntax, right: Syntax) -> Iterator[Line]:
    removed: list[_Noted] = []
    added: list[_Noted] = []
    old, new = hunk.old, hunk.new
    last = removed
    for line in hunk.lines:
        if line.startswith(("-", "+")):
            last = removed if line.startswith("-") else added
            last.append(_Noted(line[1:]))
        elif line.startswith("\\") and last:
            last[-1] = _Noted(last[-1].text, plain(line))
        else:
            yield from _replaced(removed, added, old, new, left, right)
            old, new = old + len(removed), new + len(added)
            removed, added = [], []
            last = removed
            if line.startswith("\\"):
                yield Line(header=plain(line), kind="note")
            else:
                same = _Noted(line[1:])
                yield Line(left=_side(old, "same", same, left), right=_side(new, "same", same, right))
                old, new = old + 1, new + 1
    yield from _replaced(removed, added, old, new, left, right)


def _replaced(
    removed: Sequence[_Noted], added: Sequence[_Noted], old: int, new: int, left: Syntax, right: Syntax
) -> Iterator[Line]:
    """Lines that took each other's place, beside each other."""
    for index, (before, after) in enumerate(zip_longest(removed, added)):
        gone, come = _marks(before, after)
        yield Line(
            left=None if before is None else _side(old + index, "removed", before, left, gone),
            right=None if after is None else _side(new + index, "added", after, right, come),
        )


def _marks(before: _Noted | None, after: _Noted | None) -> tuple[set[int], set[int]]:
    """The places of the characters that only one of two lines has, by whole words."""
    if before is None or after is None:
        return set(), set()
    if max(len(before.text), len(after.text)) > LINE_CHARACTERS:
        return set(), set()
    old, new = _WORDS.findall(before.text), _WORDS.findall(after.text)
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
    number: int,
    change: Literal["removed", "added", "same"],
    line: _Noted,
    syntax: Syntax,
    marked: AbstractSet[int] = frozenset(),
) -> Side:
    text = line.text
    if len(text) > LINE_CHARACTERS:  # its end is not in the view, and says so
        pieces: tuple[Piece, ...] = (Piece(plain(text), ""),)
    else:
        pieces = tuple(_pieces(text, syntax.styles(number, text), marked))
    return Side(number, change, pieces, foreign(text), line.note)


def _pieces(line: str, styles: Sequence[str], marked: AbstractSet[int]) -> Iterator[Piece]:
    """Cut a line where its syntax or its marks change, and at what hides or acts."""
    if plain(line) != line:
        styles = ["acts" if plain(c) != c else style for c, style in zip(line, styles, strict=True)]
    start = 0
    for place in range(1, len(line) + 1):
        if place == len(line) or styles[place] != styles[start] or (place in marked) != (start in marked):
            yield Piece(plain(line[start:place]), f"{styles[start]} word" if start in marked else styles[start])
            start = place


def _syntax(header: str, texts: Mapping[str, str]) -> Syntax:
    return python(texts.get(header, "")) if _is_python(header) else Syntax()


def _is_python(header: str) -> bool:
    return len(header) <= LINE_CHARACTERS and _path(header).endswith(".py")


def _path(header: str) -> str:
    """The path in a header; git puts one with odd characters into quotes, and each of their bytes into digits."""
    name = header[len(_OLD) :].partition("\t")[0]
    if name.startswith('"'):
        letters = name[1:-1].encode("ascii", "replace").decode("unicode_escape", "replace")
        name = letters.encode("latin-1", "replace").decode(errors="surrogateescape")
    return name.replace("\0", "").removeprefix("a/" if header.startswith(_OLD) else "b/")
