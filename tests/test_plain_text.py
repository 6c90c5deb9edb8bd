"""What others wrote, as a person is shown it."""

from __future__ import annotations

import pytest

from agents.plain_text import foreign, plain, plain_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, even ünïcode 漢字 and a\ttab", "plain text, even ünïcode 漢字 and a\ttab"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("kept\roverwritten", "kept\\roverwritten"),
        ("two\nlines", "two\\nlines"),
        ("zero\u200bwidth\ufeff\u2060", "zero\\u200bwidth\\ufeff\\u2060"),
        ("blank\u3164\u2800", "blank\\u3164\\u2800"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_nothing_in_a_line_acts_or_hides(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_long_line_is_cut_and_says_so() -> None:
    assert plain("x" * 1_000_000) == "x" * 2000 + " … (998000 more characters)"
    assert plain_lines("a\n" + "b" * 5, most=3) == "a\nbbb … (2 more characters)"


def test_letters_that_look_latin_are_named() -> None:
    assert foreign("раss = 1") == "U+0440 р, U+0430 а"  # noqa: RUF001
    assert foreign("naïve = 1  # 1 µs") == "U+00B5 µ"
