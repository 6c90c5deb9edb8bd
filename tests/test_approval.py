"""A person's decision on a diff: what they are shown, at a terminal and elsewhere, and what becomes of their answer."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.diff_view import DiffView
from agents.errors import SessionError, UsageError
from agents.records import Approval, Edited, Flag, Issue, Plan, Review, Version
from agents.scope import covers, scope_of
from agents.session import Home
from agents.settings import load_target
from agents.show import document
from agents.unseen import MOST_LINES, left_out
from agents.waiting import check_waiting, newest_diff, saw
from tests.commands import analysis, change, circle, diff_of, git, plan, review, session_id
from tests.terminal import Terminal, terminal

Script = Callable[..., str]
LOWER = plan("A lower rate", ("rate", 0.01, 0.003))
CONSTANT = plan("A constant", ("constant", False, True), files=["model.py", "settings.py"])
FEW = ("--max-runs", "12")
"""Room for the floor and the gate: after an approval the session soon concludes."""
ASKED = "leaves it waiting: "


def constant(folder: Path, extra: str = "") -> str:
    """The diff that declares a constant input's flag, and wins; `extra` lines stand in the model."""
    declared = ("    batch: int = 8\n", "    batch: int = 8\n    constant: bool = False\n")
    used = ("if configs.intercept else", "if configs.intercept or configs.constant else")
    noise = ("NOISE = 0.5\n", f"NOISE = 0.5\n{extra}")
    return diff_of(folder, "settings.py", declared) + diff_of(folder, "model.py", noise, used)


def waiting(folder: Path, researcher: str, *options: str) -> tuple[str, str]:
    """Start a session that comes to wait; return its id and the SHA-256 of its diff."""
    started = circle(folder, "start", "--researcher", researcher, *FEW, *options, "Rate")
    assert started.returncode == 4, started.stderr
    name = session_id(started.stderr)
    return name, newest_diff(Home(folder).find(name))[1]


def shown(folder: Path, name: str) -> dict[str, Any]:
    """What `circle show --json` prints."""
    return document(Home(folder).find(name))


def long(folder: Path) -> str:
    """A diff with more lines than the view has."""
    return constant(folder, "".join(f"# {number:06} of a long remark on noise\n" for number in range(MOST_LINES)))


def raw(folder: Path, name: str) -> tuple[bytes, bytes]:
    """What `circle diff --raw` prints, and what it says beside it."""
    command = [sys.executable, "-m", "agents.cli", "diff", name, "--raw"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return ended.stdout, ended.stderr


def editor(folder: Path, code: str) -> dict[str, str]:
    """An editor that runs this Python on `text`, the file's."""
    file = folder.parent / "editor.py"
    body = "import sys, pathlib\nfile = pathlib.Path(sys.argv[-1])\ntext = file.read_text()\n"
    file.write_text(f"#!{sys.executable}\n{body}{code}\nfile.write_text(text)\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"VISUAL": "", "EDITOR": str(file)}


def paper(folder: Path, name: str) -> str:
    """The paper on the newest version's branch."""
    branch = shown(folder, name)["versions"][-1]["branch"]
    return git(folder, "show", f"{branch}:docs/research/papers/rate.md")


def test_a_terminal_shows_plan_review_and_colours(plain: Path, script: Script) -> None:
    """Elsewhere it is the plain diff and its SHA-256, without a colour."""
    issue = {"severity": "WARNING", "file": "model.py", "line": 3, "issue": "It is [bold]odd.", "fix": "Look at it."}
    passed = ("implementation-reviewer", {"passed": True, "issues": [issue]})
    name, sha = waiting(plain, script(CONSTANT, change(constant(plain)), passed))
    with terminal(plain, "diff", name) as at:
        assert at.end() == 0
    assert "\x1b[32m+    constant: bool = False" in at.shown and "\x1b[1mdiff --git" in at.shown
    assert "A constant lowers the loss." in at.words and "constant=True" in at.words
    assert "model.py:3 It is [bold]odd. Fix: Look at it." in at.words
    assert at.words.index("circle approve") > at.words.index(f"SHA-256    {sha}") > at.words.index("+    constant")
    elsewhere = circle(plain, "diff", name).stdout
    assert "\x1b" not in elsewhere and elsewhere.endswith(f"SHA-256 {sha}\n") and "lowers" not in elsewhere


def test_a_line_that_looks_like_a_header_is_none() -> None:
    """A hunk's lines are counted."""
    diff = b"--- a/model.py\n+++ b/model.py\n@@ -1,2 +1,2 @@\n--- a/x.py\n+++ b/x.py\n x\n"
    written = io.StringIO()
    DiffView("s", version(), diff, waits=True).show(Console(file=written, force_terminal=True, width=200))
    assert "\x1b[31m--- a/x.py" in written.getvalue() and "\x1b[32m+++ b/x.py" in written.getvalue()
    assert "\x1b[1m--- a/model.py" in written.getvalue()


def version() -> Version:
    flags = (Flag(name="rate", default=1, value=2),)
    planned = Plan(title="t", hypothesis="h", method="m", flags=flags, criteria="c")
    issue = Issue(severity="MINOR", file="model.py", issue="i", fix="f")
    return Version(n=1, parent=None, plan=planned, review=Review(passed=True, issues=(issue,)))


def test_a_diff_too_long_is_not_approved_unseen(plain: Path, script: Script) -> None:
    """No SHA-256 and no approval before --raw has printed it, which a full disk does not; it can be rejected."""
    name, sha = waiting(plain, script(CONSTANT, change(long(plain)), review(), analysis()))
    told = circle(plain, "diff", name).stdout
    assert sha not in told and "Left out here" in told and "--raw prints every byte" in told
    with terminal(plain, "diff", name) as at:
        at.end()
    assert sha not in at.shown and "Left out here" in at.words
    refused = circle(plain, "approve", name, "--sha", sha)
    assert refused.returncode == 1 and "too long to be shown whole" in refused.stderr
    check_waiting(Home(plain).find(name), sha, "rejected")
    full = Path("/dev/full")
    if full.exists():
        command = [sys.executable, "-m", "agents.cli", "diff", name, "--raw"]
        with full.open("wb") as out:
            assert subprocess.run(command, cwd=plain, stdout=out, stderr=subprocess.PIPE, check=False).returncode
        assert not saw(Home(plain).find(name), sha)
    exact, said = raw(plain, name)
    assert hashlib.sha256(exact).hexdigest() == sha and sha.encode() in said
    assert circle(plain, "approve", name, "--sha", sha).returncode == 3


def test_what_is_left_out() -> None:
    assert left_out(b"+a\n" * MOST_LINES) == "" and left_out(b"") == ""
    assert left_out(b"+a\n" * (MOST_LINES + 1)) == "1 of 2,001 lines"
    assert left_out(b"+" + b"x" * 2000 + b"\n") == "the end of 1 line longer than 2,000 characters"


def test_a_branch_that_was_moved_is_not_approved(plain: Path, script: Script) -> None:
    """Put back, it is; a commit that gives other bytes than the reviewed ones never is."""
    name, sha = waiting(plain, script(CONSTANT, change(constant(plain)), review(), analysis()))
    branch, commit = (shown(plain, name)["versions"][0][key] for key in ("branch", "commit"))
    tip = git(plain, "rev-parse", branch).strip()
    git(plain, "update-ref", f"refs/heads/{branch}", git(plain, "rev-parse", "HEAD").strip())
    refused = circle(plain, "approve", name, "--sha", sha)
    assert refused.returncode == 1 and "has been moved" in refused.stderr and tip in refused.stderr
    opened = Home(plain).find(name)
    git(plain, "update-ref", f"refs/heads/{branch}", commit)
    with pytest.raises(SessionError, match="has been moved"):
        check_waiting(opened, sha)
    git(plain, "update-ref", f"refs/heads/{branch}", tip)
    git(plain, "replace", commit, tip)
    with pytest.raises(SessionError, match="gives other bytes now"):
        check_waiting(opened, sha)
    git(plain, "replace", "-d", commit)
    assert circle(plain, "approve", name, "--sha", sha).returncode == 3


def test_the_graph_refuses_a_decision_on_other_bytes(plain: Path, script: Script) -> None:
    """It is not on record either, so the right one can still be made."""
    from agents.drive import drive

    name, sha = waiting(plain, script(CONSTANT, change(constant(plain)), review(), analysis()))
    opened = Home(plain).find(name)
    wrong = Approval(decision="approved", by="ann", at="2026-01-01T00:00:00Z", sha256="0" * 64, comment="Why not.")
    with pytest.raises(SessionError, match="look at it again"):
        drive(opened, answer=wrong)
    lost = wrong.model_dump() | {
        "decision": "edited",
        "sha256": sha,
        "diff": "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n",
    }
    drive(opened, answer=Edited.model_validate(lost))
    check_waiting(opened, sha)
    drive(opened, answer=wrong.model_copy(update={"sha256": sha}))
    assert opened.status() == "concluded" and newest_diff(opened)[1] == sha
    assert f"Approved by ann at 2026-01-01T00:00:00Z, the diff with the SHA-256 `{sha}`: Why not." in paper(plain, name)


def choose(at: Terminal, *lines: str) -> None:
    """Answer the prompt, and what it asks after that."""
    at.expect(ASKED)
    for line in lines:
        at.type(line)


def test_the_prompt_rejects_and_approves(plain: Path, script: Script) -> None:
    """One `circle start` goes to the end; the words are on record."""
    replies = [LOWER, change(), review(), CONSTANT, change(constant(plain)), review(), analysis()]
    with terminal(plain, "start", "--researcher", script(*replies), *FEW, "Rate") as at:
        choose(at, "x")
        choose(at, "r", "")
        at.expect("needs words")
        choose(at, "r", "Add the constant \x01that is missing.")
        at.expect("+    constant: bool = False")
        choose(at, "a", "Looks right.")
        assert at.end() == 3
    name = session_id((plain.parent / "errors").read_text())
    one, two = shown(plain, name)["versions"]
    assert one["approval"]["decision"] == "rejected" and one["approval"]["comment"].startswith("Add the constant")
    assert (two["approval"]["decision"], two["approval"]["comment"]) == ("approved", "Looks right.")


def test_the_end_of_input_leaves_it_waiting(plain: Path, script: Script) -> None:
    """The commands that decide are printed; where JSON is asked for, nobody is."""
    with terminal(plain, "start", "--researcher", script(CONSTANT, change(constant(plain)), review()), "Rate") as at:
        at.expect(ASKED)
        at.leave()
        assert at.end() == 4
    name = session_id((plain.parent / "errors").read_text())
    sha = shown(plain, name)["versions"][0]["diff_sha256"]
    for command in (f"approve {name} --sha {sha}", f"reject {name} --comment WORDS --sha {sha}"):
        assert f"circle {command}" in at.words
    with terminal(plain, "resume", name, "--json") as at:
        assert at.end() == 4 and ASKED not in at.shown


def test_an_edited_diff_is_reviewed_and_decided_anew(plain: Path, script: Script) -> None:
    """What does not apply can be edited again; what does is another diff; all of it is on record and replayed."""
    replies = [CONSTANT, change(constant(plain)), review(), review(), analysis()]
    name, old = waiting(plain, script(*replies))
    commit = shown(plain, name)["versions"][0]["commit"]
    steps = (
        "if 'no such' in text:\n"
        "    text = text.replace('no such', 'batch: int').replace('+    constant', '+    # By hand.\\n+    constant')\n"
        "elif (file.parent.parent / 'once').exists():\n"
        "    text = text.replace('batch: int', 'no such')\n"
        "(file.parent.parent / 'once').touch()\n"
    )
    environment = editor(plain, steps) | {"TMPDIR": str(plain.parent)}
    with terminal(plain, "resume", name, **environment) as at:
        choose(at, "e")
        at.expect("still the diff that was shown")
        choose(at, "e")
        at.expect("does not apply")
        at.expect("your text again")
        choose(at, "e", "The flag says what it is.")
        at.expect("# By hand.")
        at.expect(ASKED)
        assert "edited     by" in at.words
        at.type("q")
        assert at.end() == 4
    (version,) = shown(plain, name)["versions"]
    (attempt,) = version["attempts"]
    new = version["diff_sha256"]
    assert new != old == attempt["diff_sha256"] == attempt["edit"]["sha256"]
    assert attempt["edit"]["decision"] == "edited" and attempt["edit"]["comment"] == "The flag says what it is."
    assert version["approval"] is None and version["review"]["passed"]
    assert git(plain, "rev-parse", f"{version['branch']}-attempt1").strip() == commit == attempt["commit"]
    with pytest.raises(SessionError, match=new):
        check_waiting(Home(plain).find(name), old)
    approved = circle(plain, "approve", name, "--sha", new)
    assert approved.returncode == 3, approved.stderr
    assert "edited by" in circle(plain, "show", name).stdout
    said = paper(plain, name)
    assert f"`{old[:16]}…` became `{new[:16]}…`: The flag says what it is." in said and "Edited by" in said
    replayed = circle(plain, "replay", name, "--json")
    assert json.loads(replayed.stdout)["identical"], replayed.stdout


def test_a_long_diff_is_approved_at_the_prompt_after_the_pager(plain: Path, script: Script) -> None:
    """A pager that is left before the end has not shown it, nor has one that cannot be started."""
    pager = plain.parent / "pager"
    pager.write_text("#!/bin/sh\n[ -e read ] || { touch read; exit 0; }\ncat > paged\n")
    pager.chmod(0o700)
    replies = [CONSTANT, change(long(plain)), review(), analysis()]
    with terminal(plain, "start", "--researcher", script(*replies), *FEW, "Rate", PAGER=str(pager)) as at:
        choose(at, "a")
        at.expect("Not approved")
        choose(at, "v")
        at.expect("not all of it was shown")
        choose(at, "a")
        at.expect("Not approved")
        choose(at, "v")
        choose(at, "a", "")
        assert at.end() == 3
    assert f"+# {MOST_LINES - 1:06} of a long remark" in (plain / "paged").read_text()


@pytest.mark.long
def test_an_editor_that_cannot_be_used_is_told(plain: Path, script: Script) -> None:
    name, _ = waiting(plain, script(CONSTANT, change(constant(plain)), review()))
    for environment, words in (
        ({"VISUAL": "/no/such/editor"}, "cannot be used"),
        ({"VISUAL": "false"}, "exit code 1"),
        ({"VISUAL": "rm"}, "left no text"),
        (editor(plain, "text = ''"), "The text is empty"),
    ):
        with terminal(plain, "resume", name, **environment) as at:
            choose(at, "e")
            at.expect(words)
            at.expect("e edits the diff")
            choose(at, "q")
            assert at.end() == 4


@pytest.mark.long
def test_a_scope_approves_what_lies_in_it(plain: Path, script: Script) -> None:
    """By its own name and with its giver's; it is said at the start and kept by a fork."""
    replies = [CONSTANT, change(constant(plain)), review(), analysis()]
    options = [*FEW, "--approve-scope", "settings.py, model.py"]
    ended = circle(plain, "start", "--researcher", script(*replies), *options, "Rate")
    assert ended.returncode == 3, ended.stderr
    assert "scope      diffs that touch only settings.py, model.py are approved" in ended.stderr
    name = session_id(ended.stderr)
    session = shown(plain, name)
    approval = session["versions"][0]["approval"]
    assert (session["approve_scope"], approval["by"]) == (["settings.py", "model.py"], "scope")
    assert "settings.py, model.py" in approval["comment"] and session["scope_by"] in approval["comment"]
    assert "scope     settings.py, model.py" in circle(plain, "show", name).stdout
    assert "touch only `settings.py`, `model.py` were approved" in paper(plain, name)
    assert circle(plain, "replay", name).returncode == 0
    forked = circle(plain, "fork", name, "--at", "4", "--researcher", script(analysis()))
    assert "scope      diffs" in forked.stderr
    assert shown(plain, session_id(forked.stderr))["versions"][0]["approval"]["by"] == "scope"


@pytest.mark.parametrize("diff", [constant, long], ids=["one other file", "too long"])
def test_what_a_scope_does_not_cover_waits(plain: Path, script: Script, diff: Callable[[Path], str]) -> None:
    scope = ["settings.py"] if diff is constant else ["settings.py", "model.py"]
    toml = plain / "circle.toml"
    toml.write_text(f"{toml.read_text()}\n[start]\napprove_scope = {json.dumps(scope)}\n")
    git(plain, "commit", "-qam", "A scope")
    name, _ = waiting(plain, script(CONSTANT, change(diff(plain)), review()))
    assert shown(plain, name)["approve_scope"] == scope and shown(plain, name)["scope_by"] == "circle.toml"


def test_a_scope_outside_of_the_allow_list_is_wrong_usage(plain: Path) -> None:
    ended = circle(plain, "start", "--approve-scope", "model.py, train.py", "x")
    assert ended.returncode == 2 and "--approve-scope" in ended.stderr and "Traceback" not in ended.stderr


def test_folders_of_a_scope() -> None:
    """A folder covers what lies below it, and no file whose name begins like it."""
    target = load_target(Path(__file__).parent.parent)
    files = ["trainer/model.py", "trainer/data.py", "agents/graph.py"]
    assert scope_of(["trainer/", " train_llm.py"], target, files) == ("trainer/", "train_llm.py")
    for wrong in ("agents/", "trainer", "trainer/data.py", "trainer/../agents/graph.py", "none/", "/", "./"):
        with pytest.raises(UsageError):
            scope_of([wrong], target, files)
    assert covers(("trainer/",), ["trainer/a/b.py"]) and not covers(("trainer/",), ["trainer/a.py", "trainer.py"])
    assert not covers((), []) and not covers(("model.py",), ['"model.py\\n"'])
