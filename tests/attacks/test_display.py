"""Attacks on the person who reads: what steers a terminal or hides, in a log, a diff, a file's name, a session's words.

Each is put where generated code, or a model, can put it, and what Circle prints or refuses is looked at.
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from agents.diff_view import DiffView
from agents.display import Display
from agents.errors import DiffRefused, TargetError
from agents.laboratory.local import _status
from agents.laboratory.process import Processes
from agents.plain_text import foreign, plain, plain_lines
from agents.records import Flag, Issue, Plan, Review, Version
from agents.review.diff import read_diff
from agents.review.paths import path_issues
from agents.session import Home
from agents.settings import load_target

SIGNS = {
    "clears the screen": "\x1b[2J\x1b[H",
    "colours": "\x1b[31m",
    "a link by OSC 8": "\x1b]8;;http://evil\x07here\x1b]8;;\x07",
    "the clipboard by OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "the title": "\x1b]0;evil\x07",
    "an eight-bit control": "\x9b2J",
    "overwrites by return": "harmless\rrm -rf /",
    "deletes by backspace": "evil\b\b\b\bgood",
    "a bell": "\x07",
    "a null": "a\x00b",
    "turns direction": "access\u202e level\u2066",
    "isolates": "\u2067evil\u2069",
    "is invisible": "ad\u200bmin\u2060\ufeff",
    "a soft hyphen": "ad\u00admin",
    "tag characters": "".join(chr(0xE0000 + ord(letter)) for letter in "evil"),
    "variation selectors": "a\ufe01\U000e0101",
    "blank letters": "\u3164\uffa0\u2800",
    "a line separator": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "private use": "\ue000",
}
MARKUP = ("[reverse]x[/reverse]", "[/]", "[link=http://evil]here[/link]", ":skull:", "[bold", "\\[red]")
HARMLESS = set("\t\n")


def acts(text: str) -> set[str]:
    """The characters of a text that act on a terminal or are not seen."""
    return {
        character
        for character in text
        if character not in HARMLESS
        and (not character.isprintable() or ord(character) in (0xAD, 0x3164, 0xFFA0, 0x2800, 0xFE01, 0xE0101))
    }


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS.keys())
def test_in_a_log(sign: str, tmp_path: Path) -> None:
    """The last words of a run that failed are shown and recorded."""
    code = f"import sys; sys.stdout.buffer.write({f'words {sign}'.encode()!r}); sys.exit(1)"
    ended = Processes().watch(
        [sys.executable, "-c", code], cwd=tmp_path, log=tmp_path / "log", timeout_seconds=30, environment=os.environ
    )
    error = _status(ended)[1]
    assert error is not None and acts(error) == set()


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS.keys())
def test_in_a_diff(sign: str) -> None:
    assert acts(plain_lines(f"+harmless {sign}\n+more\n")) == set()


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS.keys())
def test_in_a_models_words(sign: str) -> None:
    """A conclusion is as good as a title, a finding or a reviewer's issue: all go the same way."""
    written = io.StringIO()
    Display(Console(file=written, width=200))("conclusion", reason=f"words {sign}")
    assert "words" in written.getvalue() and acts(written.getvalue()) == set()


@pytest.mark.parametrize("sign", [*SIGNS.values(), *MARKUP], ids=[*SIGNS, *MARKUP])
def test_in_the_view_that_is_decided_on(sign: str) -> None:
    """A plan's words, a review's, a file's name and a line: all of them are shown, and none acts on the terminal."""
    plan = Plan(
        title=sign, hypothesis=sign, method=sign, criteria=sign, flags=(Flag(name=sign, default=0, value=sign),)
    )
    issue = Issue(severity="MINOR", file=sign, line=1, issue=sign, fix=sign)
    version = Version(n=1, parent=None, plan=plan, review=Review(passed=True, issues=(issue,)))
    diff = f"diff --git a/{sign} b/{sign}\n--- a/{sign}\n+++ b/{sign}\n@@ -1 +1 @@ {sign}\n-{sign}\n+{sign}\n".encode()
    written = io.StringIO()
    view = DiffView("s", version, diff, waits=True)
    view.show(Console(file=written, force_terminal=True, width=200))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    for text in (shown, view.plain(), view.whole):
        assert acts(text) == set() and text.count(plain(sign).expandtabs()) >= 5
    painted = set(re.findall(r"\x1b\[[0-9;]*m", written.getvalue()))
    assert painted <= {f"\x1b[{code}m" for code in ("0", "1", "2", "31", "32", "36", "1;36", "1;31", "1;33")}


@pytest.mark.parametrize(
    "name",
    [
        *("--help", "-rf", "a\nb.py", "a\tb.py", "a\x1b[2J.py", "a\u202eb.py", "a\u200b.py", "model.py/../../evil.py"),
        *(".git/hooks/pre-commit", ".GIT/config", "MODEL.PY", "sitecustomize.py", "evil.pth", "x" * 300),
    ],
)
def test_in_a_files_name(name: str, home: Home) -> None:
    """A patch cannot bring such a file: git does not take it, or the review fails it with a name that can be shown."""
    base = home.workspace.head()
    quoted = '"b/' + "".join(f"\\{byte:03o}" for byte in name.encode()) + '"'
    diff = f"diff --git {quoted.replace('b/', 'a/', 1)} {quoted}\nnew file mode 100644\n--- /dev/null\n+++ {quoted}\n"
    try:
        patch = home.workspace.commit_version("circle/s/v1", base, diff + "@@ -0,0 +1 @@\n+x = 1\n", "A file")
    except DiffRefused as refused:
        assert acts(str(refused)) == set()
        return
    files = read_diff(home.workspace.diff(base, patch.commit))
    try:
        trees = home.workspace.export(base), home.workspace.export(patch.commit)
    except TargetError as refused:
        assert acts(str(refused)) == set()
        return
    issues = [issue for issue in path_issues(files, *trees, load_target(home.target)) if issue.severity == "CRITICAL"]
    assert issues and all(acts(issue.file + issue.issue + issue.fix) == set() for issue in issues)


def test_a_line_of_a_megabyte_is_cut_and_says_so() -> None:
    shown = plain_lines("+" + "x" * 1_000_000 + "; evil()")
    assert len(shown) < 2100 and shown.endswith("more characters)")


def test_letters_that_look_like_others_are_named() -> None:
    assert foreign("if раssword == secret:") == "U+0440 р, U+0430 а"  # noqa: RUF001
