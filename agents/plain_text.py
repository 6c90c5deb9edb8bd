"""Text of others, a log's line, a diff, a file's name, as a person may be shown it: nothing in it acts or hides."""

from __future__ import annotations

import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Blank, though Unicode calls them letters, marks or spaces that are not shown as one.
_BLANK = frozenset("\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}
# What European texts are written with: the letters of Latin-1 and Latin Extended-A but the dotless i and the long s.
_USUAL = frozenset(map(chr, range(0xC0, 0x180))) - {"\u0131", "\u017f"}
# Punctuation and signs that look like ones of ASCII.
_SIGNS = frozenset(
    "\u037e\u0589\u05c3\u2010\u2011\u2024\u2044\u204e\u2212\u2215\u2217\u2223\u2236\u223c\ua789"
    "\uff01\uff08\uff09\uff0a\uff0b\uff0c\uff0d\uff0e\uff0f\uff1a\uff1b\uff1c\uff1d\uff1e\uff3b\uff3d\uff5b\uff5c\uff5d\uff5e"
)
LINE_CHARACTERS = 2000
_EXCERPT_LINES = 40


def plain(line: str, most: int = LINE_CHARACTERS) -> str:
    """Return one line whose controls, reordering marks and unseen characters are escapes, cut after `most` characters.

    A cut is told, with how much was left out. A line break in it is an escape, too.
    """
    shown = "".join(_shown(character) for character in line[:most])
    return f"{shown} … ({len(line) - most} more characters)" if len(line) > most else shown


def visible(text: str) -> str:
    """Return a whole text whose controls, reordering marks and unseen characters are escapes; its line feeds stay."""
    if text.isascii() and text.isprintable():
        return text
    return "\n".join("".join(map(_shown, line)) for line in text.split("\n"))


def plain_lines(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return a text line by line as `plain` shows each; only a line feed ends a line.

    Characters that may be taken for others, letters that are not Latin, odd spaces, are named below their line.
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
    """Return the characters of a line that may be taken for plain ones, each as code and character."""
    letters = dict.fromkeys(character for character in line if _foreign(character))
    return ", ".join(f"U+{ord(letter):04X} {letter}" for letter in letters)


def _marked(letters: str) -> str:
    return f"\n^ looks like another: {letters}" if letters else ""


def _shown(character: str) -> str:
    if character == "\t" or not (unicodedata.category(character) in _ACTING or character in _BLANK):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _foreign(character: str) -> bool:
    """Whether it is a letter, mark, digit, space or sign beyond those that European texts are written with."""
    if character <= "\x7f" or character in _BLANK or character in _USUAL:
        return False
    kind = unicodedata.category(character)
    return kind[0] in "LM" or kind in ("Nd", "Nl", "Zs") or character in _SIGNS
