"""Text of others, a log's line, a diff, a file's name, as a person may be shown it: nothing in it acts or hides."""

from __future__ import annotations

import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Blank, though Unicode calls them letters, marks or spaces that are not shown as one.
_BLANK = frozenset("\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}
LINE_CHARACTERS = 2000
_EXCERPT_LINES = 40


def plain(line: str, most: int = LINE_CHARACTERS) -> str:
    """Return one line whose controls, reordering marks and unseen characters are escapes, cut after `most` characters.

    A cut is told, with how much was left out. A line break in it is an escape, too.
    """
    shown = "".join(_shown(character) for character in line[:most])
    return f"{shown} … ({len(line) - most} more characters)" if len(line) > most else shown


def plain_lines(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return a text line by line as `plain` shows each; only a line feed ends a line.

    Letters that are not Latin, which may be taken for ones that are, are named below their line.
    """
    return "\n".join(f"{plain(line, most)}{_marked(foreign(line))}" for line in text.split("\n"))


def excerpt(text: str, most: int = _EXCERPT_LINES) -> str:
    """Return the head and the tail of a long text, a quarter and the rest of `most` lines, and what was left out."""
    lines = text.rstrip("\n").split("\n")
    if len(lines) > most:
        head, tail = lines[: most // 4], lines[-(most - most // 4) :]
        lines = [*head, f"… ({len(lines) - most} more lines)", *tail]
    return plain_lines("\n".join(lines))


def foreign(line: str) -> str:
    """Return the letters of a line that are not Latin, which may be taken for ones that are as code and letter."""
    letters = dict.fromkeys(character for character in line if _foreign(character))
    return ", ".join(f"U+{ord(letter):04X} {letter}" for letter in letters)


def _marked(letters: str) -> str:
    return f"\n^ not Latin: {letters}" if letters else ""


def _shown(character: str) -> str:
    if character == "\t" or not (unicodedata.category(character) in _ACTING or character in _BLANK):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _foreign(character: str) -> bool:
    seen = character.isalpha() and character not in _BLANK
    return seen and ord(character) > 0x7F and not unicodedata.name(character, "").startswith("LATIN")
