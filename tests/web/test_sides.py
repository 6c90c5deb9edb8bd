"""A diff in two columns: every character is there, nothing in it acts, and no line passes for what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.plain_text import plain
from agents.web.sides import Files, Line, Side, side_by_side, whole_files
from agents.workspace import GitWorkspace
from tests.commands import git

LOOKS_LIKE_A = "\u0430"
HEAD = "--- a/model.py\n+++ b/model.py\n"


def _text(side: Side | None) -> str | None:
    return side and "".join(piece.text for piece in side.pieces)


def _columns(lines: tuple[Line, ...]) -> list[tuple[str | None, str | None]]:
    return [(_text(line.left), _text(line.right)) for line in lines if line.kind == "line"]


def _marked(side: Side | None) -> str:
    return "".join(piece.text for piece in side.pieces if "word" in piece.style.split()) if side else ""


def _styles(side: Side | None, words: str) -> set[str]:
    """The classes of these words in a line, which must have them."""
    assert side is not None
    text = "".join(piece.text for piece in side.pieces)
    styles = [piece.style for piece in side.pieces for _ in piece.text]
    start = text.index(words)
    return set(styles[start : start + len(words)])


def _last_line(text: str, name: str = "model.py", files: Files | None = None) -> Side | None:
    """The last line of a new file as it is shown, in that whole file unless another is said."""
    lines = text.split("\n")
    body = "".join(f"+{line}\n" for line in lines)
    diff = f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n{body}"
    whole = ((f"+++ b/{name}", text),) if files is None else files
    return side_by_side(diff.encode(), whole)[-1].right


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
    shown = diff.encode(errors="surrogatepass").decode(errors="backslashreplace")
    lines = [line[1:] for line in shown.split("\n")[3:-1]] if added else []
    for files in ((), (("+++ b/model.py", "\n".join(lines)),)):
        columns = _columns(side_by_side(diff.encode(errors="surrogatepass"), files))
        assert [right for _, right in columns] == [plain(line) for line in lines]


def test_each_line_says_what_became_of_it() -> None:
    lines = side_by_side(f"{HEAD}@@ -1,5 +1,5 @@\n a\n-b\n+c\n d\n-e\n f\n+g\n".encode())
    assert [line.change for line in lines if line.kind == "line"] == [
        "same",
        "changed",
        "same",
        "removed",
        "same",
        "added",
    ]


@pytest.mark.parametrize(
    "before",
    [
        'x = """\nfor import return\n"""; ',
        '"""What it is. \\"""\nstill words\n"""; ',
        'x = r"""a\\""" """; ',
        "x = 'a\\\nb'; ",
        "x = 'a\\\r\nb'; ",
        '# """\r',
        'x = f"""{1}\n{2}\n"""; ',
    ],
)
def test_what_is_run_is_never_coloured_as_a_string_or_a_comment(before: str) -> None:
    """Strings over lines, ends that the colours alone take for none, and other ends of lines than ours."""
    line = _last_line(f'{before}import os; os.system("rm") # """')
    for words in ("import", "os.system"):
        assert not {style[:1] for style in _styles(line, words)} & {"s", "c"}, words


def test_what_stands_in_a_string_over_lines_has_its_colour() -> None:
    text = 'x = """\nfor import return'
    line = _last_line(text, files=(("+++ b/model.py", f'{text}\n"""'),))
    assert _styles(line, "for import return") == {"s2"}


def test_a_file_whose_lines_end_as_on_windows_keeps_its_colours() -> None:
    text = "x = 'a\\\r\nb'; import os\r\n"
    line = _last_line(text.removesuffix("\n"), files=(("+++ b/model.py", text),))
    assert _styles(line, "b'") == {"s1"} and _styles(line, "import") == {"kn"}


def test_a_line_that_is_another_in_the_file_is_coloured_alone() -> None:
    files = (("+++ b/model.py", 'x = """\nimport os\n"""\n'),)
    assert _styles(_last_line("x = 1\nimport os", files=files), "import") == {"s2"}
    assert _styles(_last_line("x = 1\nimport re", files=files), "import") == {"kn"}


def test_only_python_has_colours_and_what_acts_is_marked_in_any_file() -> None:
    for name, style in (("model.py", "kn"), ('"b/na\\303\\257ve.py"', "kn"), ("words.md", ""), ("py", "")):
        head = name if name.startswith('"') else f"b/{name}"
        line = side_by_side(f"--- /dev/null\n+++ {head}\n@@ -0,0 +1 @@\n+import os \x1b[2K\n".encode())[-1].right
        assert _styles(line, "import") == {style}, name
        assert "acts" in _styles(line, "\\x1b"), name


def test_a_file_too_large_to_be_coloured_has_no_colours() -> None:
    assert _styles(_last_line(f"import os # {'x' * 300_000}\nimport os"), "import") == {""}


def test_git_gives_the_whole_files_of_both_sides(plain: Path) -> None:
    """Of Python alone, whatever their names; none of a commit that git has not."""
    base = git(plain, "rev-parse", "HEAD").strip()
    model = (plain / "model.py").read_text()
    (plain / "model.py").write_text(model.replace("NOISE = 0.5", "NOISE = 0.6"))
    (plain / "na\u00efve one.py").write_text("x = 1\n")
    (plain / "words.md").write_text("import\n")
    (plain / "evaluate.py").unlink()
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "Another noise")
    workspace, commit = GitWorkspace(plain), git(plain, "rev-parse", "HEAD").strip()
    diff = workspace.diff(base, commit)
    odd = '+++ "b/na\\303\\257ve one.py"\t'
    found = dict(whole_files(diff, workspace, base, commit))
    assert found.keys() == {
        "--- a/evaluate.py", "--- a/model.py", "+++ b/model.py", odd
    }  # fmt: skip
    assert (found["--- a/model.py"], found["+++ b/model.py"]) == (model, (plain / "model.py").read_text())
    assert found[odd] == "x = 1\n"
    assert whole_files(diff, workspace, "0" * 40, "1" * 40) == ()


def test_lines_that_end_their_files_stand_beside_each_other() -> None:
    end = "\\ No newline at end of file"
    *_, line = side_by_side(f"@@ -1 +1 @@\n-the old end\n{end}\n+the new end\n{end}\n".encode())
    assert line.left and line.right and line.change == "changed"
    assert line.left.note == line.right.note == end
    assert [piece.text for piece in line.right.pieces if piece.style.endswith("word")] == ["new"]
    *_, note = side_by_side(f"@@ -1 +1 @@\n the end\n{end}\n".encode())
    assert (note.kind, note.header) == ("note", end)
