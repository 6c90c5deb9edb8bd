"""A diff in two columns: every character is there, nothing in it acts, and no line passes for what it is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.plain_text import plain
from agents.web.sides import Line, Side, side_by_side

LOOKS_LIKE_A = "\u0430"
HEAD = "--- a/model.py\n+++ b/model.py\n"


def _text(side: Side | None) -> str | None:
    return side and "".join(piece.text for piece in side.pieces)


def _columns(lines: tuple[Line, ...]) -> list[tuple[str | None, str | None]]:
    return [(_text(line.left), _text(line.right)) for line in lines if line.kind == "line"]


def _marked(side: Side | None) -> str:
    return "".join(piece.text for piece in side.pieces if "word" in piece.style.split()) if side else ""


def test_old_and_new_stand_beside_each_other_with_the_changed_words_marked() -> None:
    lines = side_by_side(
        f"{HEAD}@@ -3,3 +3,4 @@\n x = 1\n-rate = 0.1 * decay\n+rate = 0.2 * decay\n+y = 2\n z\n".encode()
    )
    assert _columns(lines) == [
        ("x = 1", "x = 1"),
        ("rate = 0.1 * decay", "rate = 0.2 * decay"),
        (None, "y = 2"),
        ("z", "z"),
    ]
    changed = [line for line in lines if line.kind == "line"][1]
    assert (_marked(changed.left), _marked(changed.right)) == ("1", "2")
    assert changed.left and changed.right and (changed.left.number, changed.right.number) == (4, 4)


def test_a_line_that_looks_like_a_header_stays_a_line() -> None:
    lines = side_by_side(f"{HEAD}@@ -1,2 +1,2 @@\n--- a/other.py\n-@@ -1 +1 @@\n+++ b/other.py\n+x\n".encode())
    assert [line.header for line in lines if line.kind != "line"] == [
        "--- a/model.py",
        "+++ b/model.py",
        "@@ -1,2 +1,2 @@",
    ]
    assert _columns(lines) == [("-- a/other.py", "++ b/other.py"), ("@@ -1 +1 @@", "x")]


def test_what_acts_is_an_escape_and_what_looks_like_another_is_named() -> None:
    (line,) = [
        line
        for line in side_by_side(f"{HEAD}@@ -0,0 +1 @@\n+if {LOOKS_LIKE_A}dmin:\u202e # ok\x1b[2K\n".encode())
        if line.right
    ]
    assert line.right is not None
    assert _text(line.right) == f"if {LOOKS_LIKE_A}dmin:\\u202e # ok\\x1b[2K"
    assert line.right.foreign == f"U+0430 {LOOKS_LIKE_A}"


@given(st.lists(st.text(max_size=40).filter(lambda text: "\n" not in text), max_size=12))
def test_no_character_of_any_line_is_lost(added: list[str]) -> None:
    body = "".join(f"+{line}\n" for line in added)
    diff = f"{HEAD}@@ -0,0 +1,{len(added)} @@\n{body}"
    found = [right for _, right in _columns(side_by_side(diff.encode(errors="surrogatepass")))]
    shown = diff.encode(errors="surrogatepass").decode(errors="backslashreplace")
    expected = [plain(line[1:]) for line in shown.split("\n")[3:-1]] if added else []
    assert found == expected
