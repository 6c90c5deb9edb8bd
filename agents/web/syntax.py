"""How the characters of Python code are coloured: a line's in its whole file where that is known, else alone.

A string may have begun long before a line, and code that is run must never look like the inside of one.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

_LARGEST = 300_000
"""Characters of a file; a larger one has no syntax colours."""
_INERT = ("STRING", "FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END", "COMMENT")


@dataclass(frozen=True)
class Syntax:
    """How the lines of one side of a file are coloured; `lines` are those of the whole file, if it is known."""

    python: bool = False
    lines: Sequence[tuple[str, Sequence[str]]] = ()

    def styles(self, number: int, line: str) -> Sequence[str]:
        """Return the class of each character of a line."""
        if not self.python:
            return [""] * len(line)
        known, styles = self.lines[number - 1] if 0 < number <= len(self.lines) else (None, ())
        return styles if known == line else _lexed(line)


def python(text: str) -> Syntax:
    """Return the syntax of a Python file by its whole text, "" where that is not known."""
    return Syntax(True, _whole(text)) if len(text) <= _LARGEST else Syntax()


def _whole(text: str) -> Sequence[tuple[str, Sequence[str]]]:
    """The lines of a file, each with the classes of its characters; that a line ends as on Windows means nothing.

    What the colours call a string or a comment, and Python itself does not, has none: it is run.
    """
    lines = text.split("\n")
    bare = [line.removesuffix("\r") for line in lines]
    joined = "\n".join(bare)
    inert = _inert(joined)
    styles = [
        style if is_inert or style[:1] not in ("s", "c") else ""
        for style, is_inert in zip(_lexed(joined), inert, strict=True)
    ]
    place, found = 0, []
    for line, shown in zip(lines, bare, strict=True):
        found.append((line, styles[place : place + len(shown)] + [""] * (len(line) - len(shown))))
        place += len(shown) + 1
    return found


def _inert(text: str) -> bytearray:
    """Which characters of a file are not run, for Python's own tokenizer; none where it cannot read on."""
    text = text.replace("\r", "\n")
    starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    found = bytearray(len(text))
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if tokenize.tok_name[token.type] in _INERT:
                first, end = (starts[row - 1] + column for row, column in (token.start, token.end))
                found[first:end] = b"\1" * (end - first)
    return found


def _lexed(text: str) -> list[str]:
    """The class by which each character is coloured as Python, to which a lone carriage return ends a line, too."""
    from pygments.lexers.python import PythonLexer
    from pygments.token import STANDARD_TYPES

    styles: list[str] = []
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    for start, token, part in lexer.get_tokens_unprocessed(text.replace("\r", "\n")):
        while token not in STANDARD_TYPES:
            token = token.parent
        styles += [""] * (start - len(styles)) + [STANDARD_TYPES[token]] * len(part)
    return styles + [""] * (len(text) - len(styles))
