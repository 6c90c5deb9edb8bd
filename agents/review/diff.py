"""A git diff read from its bytes: which names and modes each file has, and which lines it adds.

A hunk's lines are counted by its header, so that a line of code which looks like a header isn't taken for
one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NAMED = re.compile(r"(---|\+\+\+|rename from|rename to|copy from|copy to) (.*)")
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass
class FileDiff:
    """One file of a diff: its names (old and new), its header lines, and the added lines by their numbers."""

    names: set[str] = field(default_factory=set)
    headers: list[str] = field(default_factory=list)
    added: list[tuple[int, str]] = field(default_factory=list)


def read_diff(diff: bytes) -> list[FileDiff]:
    """Read what `git diff` printed; bytes that are not UTF-8 become lone surrogates."""
    files: list[FileDiff] = []
    old = new = number = 0
    for line in diff.decode("utf-8", "surrogateescape").split("\n"):
        if old > 0 or new > 0:
            if line.startswith("+"):
                files[-1].added.append((number, line[1:]))
            old -= not line.startswith(("+", "\\"))
            new -= not line.startswith(("-", "\\"))
            number += not line.startswith(("-", "\\"))
        elif line.startswith("diff --git "):
            files.append(FileDiff())
            files[-1].names.update(_same_names(line.removeprefix("diff --git ")))
        elif files and (hunk := _HUNK.match(line)):
            old, number, new = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
        elif files:
            files[-1].headers.append(line)
            files[-1].names.update(_named(line))
    return files


def _same_names(pair: str) -> set[str]:
    """The name in `a/NAME b/NAME`, which has no other separator; nothing where the two differ."""
    half = len(pair) // 2
    first, second = _unquote(pair[:half]), _unquote(pair[half + 1 :])
    return {first[2:]} if first[2:] == second[2:] else set()


def _named(line: str) -> set[str]:
    found = _NAMED.fullmatch(line)
    if found is None:
        return set()
    name = _unquote(found[2].removesuffix("\t"))
    if found[1] in ("---", "+++"):
        return set() if name == "/dev/null" else {name[2:]}
    return {name}


def _unquote(name: str) -> str:
    """Undo git's C-quoting, which writes the bytes of an unusual name as \\ooo inside double quotes."""
    if len(name) < 2 or not (name.startswith('"') and name.endswith('"')):
        return name
    raw = name[1:-1].encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_unescape, raw).decode("utf-8", "surrogateescape")


def _unescape(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8) & 255]) if len(code) == 3 else _LETTERS.get(code, code)
