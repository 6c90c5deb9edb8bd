"""The steps of real sessions: a fork's own news, the diff that each step was about, and what is long folded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.session import Home
from agents.web.steps import Steps, Told
from tests.commands import analysis, change, circle, review, revision, rewrite_journal, session_id
from tests.test_approval import CONSTANT, LOWER, constant, long, waiting
from tests.web.visitor import Visitor, served

Script = Callable[..., str]
ABOUT = ("reviewer", "approval", "regression")


@pytest.fixture
def guest(plain: Path) -> Iterator[Visitor]:
    """Return who has entered the page of the plain target."""
    with served(plain) as address:
        yield Visitor(address).enter()


def _steps(folder: Path, name: str) -> tuple[Told, ...]:
    """All steps of a session that has not ended."""
    steps = Steps(Home(folder).find(name))
    return tuple(steps.step(mark.number, ended=False) for mark in steps.marks)


def _added(told: Told) -> list[str]:
    """The added lines of the diff that a step was about."""
    assert told.diff is not None
    sides = [line.right for line in told.diff.lines if line.change in ("added", "changed")]
    return ["".join(piece.text for piece in side.pieces) for side in sides if side]


def test_a_forks_first_step_has_no_failure_of_before_the_fork(plain: Path, script: Script) -> None:
    """Forked at a rejection: what its first own step changed is what the planner put there."""
    replies = (LOWER, change(), review(), CONSTANT, change(constant(plain)), review())
    old, sha = waiting(plain, script(*replies))
    rejected = circle(plain, "reject", old, "--sha", sha, "--comment", "Try a constant.")
    assert rejected.returncode == 4, rejected.stderr
    marks = {mark.number: mark for mark in Steps(Home(plain).find(old)).marks}
    assert (marks[5].node, marks[5].failure) == ("approval", "rejected by a person")

    forked = circle(plain, "fork", old, "--at", "5", "--researcher", script(*replies[3:]))
    assert forked.returncode == 4, forked.stderr
    new = session_id(forked.stderr)
    first, *_ = Steps(Home(plain).find(new)).marks
    assert (first.number, first.node, first.failure) == (6, "planner", "")
    mine, theirs = _steps(plain, new)[0], _steps(plain, old)[5]
    assert mine.failure == "" and mine.new.keys() >= {"versions.1.plan.title", "node", "step"}
    assert {path for path in mine.new if path.startswith(("baseline.", "versions.0."))} == set()
    assert {path for path in mine.state if path.startswith("versions.")} == {
        path for path in theirs.state if path.startswith("versions.")
    }


def test_a_fork_that_was_killed_before_its_first_step_has_no_other_news(plain: Path, script: Script) -> None:
    """Then the state that it began with is a step of its journal."""
    old, _ = waiting(plain, script(LOWER, change(), review()))
    researcher = script(change(), review())
    killed = circle(plain, "fork", old, "--at", "2", "--researcher", researcher, CIRCLE_CRASH_AT="reply effect #1")
    new = session_id(killed.stderr)
    assert Steps(Home(plain).find(new)).marks == ()
    resumed = circle(plain, "resume", new)
    assert resumed.returncode == 4, resumed.stderr
    with Home(plain).find(new).journal() as journal:
        assert list(journal.bodies("step"))[:2] == ["2", "3"]
    first = _steps(plain, new)[0]
    assert (first.number, first.node) == (3, "implementer")
    assert "versions.0.patch.commit" in first.new and "versions.0.plan.title" not in first.new


def test_each_step_about_a_diff_shows_it_as_it_then_was(plain: Path, script: Script, guest: Visitor) -> None:
    """Sent back by the review, repaired, approved: each step has the diff of its time, coloured in its file."""
    text = 'WORDS = """\nfor import return\n"""; import os\n'
    first, second = (constant(plain, f"{text}# {word}\n") for word in ("First.", "Second."))
    critical = {"severity": "CRITICAL", "file": "model.py", "issue": "No.", "fix": "Yes."}
    name, sha = waiting(plain, script(CONSTANT, change(first), review(critical), change(second), review(), analysis()))
    assert circle(plain, "approve", name, "--sha", sha).returncode == 3
    found = [told for told in _steps(plain, name) if told.diff]
    assert [(told.node, [line for line in _added(told) if line.startswith("# ")]) for told in found] == [
        ("reviewer", ["# First."]),
        ("reviewer", ["# Second."]),
        ("approval", ["# Second."]),
        ("regression", ["# Second."]),
    ]
    for told in found:
        page = guest.get(f"/sessions/{name}/steps/{told.number}").text
        assert "<h3>The diff</h3>" in page and "for import return" in page
    for path in (f"/sessions/{name}/diff", f"/sessions/{name}/steps/{found[-1].number}"):
        page = guest.get(path).text
        assert '<span class="s2">for import return</span>' in page, path
        assert '<span class="s2">&#34;&#34;&#34;</span>' in page and '<span class="kn">import</span>' in page, path
    assert "<h3>The diff</h3>" not in guest.get(f"/sessions/{name}/steps/2").text


def test_a_diff_that_no_model_was_shown_is_from_git(plain: Path, script: Script) -> None:
    """A fork that goes on at the approval asks nobody about the diff that it was given."""
    old, _ = waiting(plain, script(CONSTANT, change(constant(plain)), review()))
    forked = circle(plain, "fork", old, "--at", "4", "--researcher", script(analysis(), revision(exhausted=True)))
    new = session_id(forked.stderr)
    sha = Home(plain).find(new).state()["versions"][0]["patch"]["diff_sha256"]
    assert circle(plain, "approve", new, "--sha", sha).returncode == 3
    with Home(plain).find(new).journal() as journal:
        assert journal.count("diff") == 0
    approval, regression, *_ = _steps(plain, new)
    assert (approval.node, regression.node) == ("approval", "regression")
    assert _added(approval) == _added(regression) and "    constant: bool = False" in _added(approval)


def test_what_a_journal_of_elsewhere_calls_a_commit_is_no_option_of_git(plain: Path, script: Script) -> None:
    name, sha = waiting(plain, script(LOWER, change(), review(), analysis()))
    assert circle(plain, "approve", name, "--sha", sha).returncode == 3
    opened, file = Home(plain).find(name), plain / "written-by-git"
    commit = opened.state()["versions"][0]["patch"]["commit"]
    assert all(told.diff for told in _steps(plain, name) if told.node in ABOUT)
    rewrite_journal(
        opened.folder / "journal.sqlite",
        lambda kind, body: True,
        lambda kind, text: text.replace(f'patch.commit":"{commit}', f'patch.commit":"--output={file}'),
    )
    assert [told.diff for told in _steps(plain, name) if told.node in ABOUT] == [None, None, None]
    assert not file.exists()


def test_a_diff_of_flags_alone_and_one_that_is_too_long_say_so(plain: Path, script: Script, guest: Visitor) -> None:
    name, sha = waiting(plain, script(LOWER, change(), review(), CONSTANT, change(long(plain)), review()))
    assert circle(plain, "reject", name, "--sha", sha, "--comment", "A constant.").returncode == 4
    flags, too_long = (guest.get(f"/sessions/{name}/steps/{number}").text for number in (4, 8))
    assert "No change in any file: flags alone." in flags
    assert re.search(r"Left out here: \d+ of 2,0\d\d lines", too_long)


def test_the_recorded_sessions_show_each_diff_from_their_journals_alone(recorded: Path) -> None:
    for opened in Home(recorded).sessions():
        about = [told for told in _steps(recorded, opened.session.id) if told.node in ABOUT]
        assert len(about) >= 3 and all(told.diff for told in about)


def test_news_of_more_than_forty_values_are_folded(recorded: Path, visitor: Visitor) -> None:
    for opened in Home(recorded).sessions():
        for told in _steps(recorded, opened.session.id)[:3]:
            page = visitor.get(f"/sessions/{opened.session.id}/steps/{told.number}").text
            news = page.partition("<h3>New in the state</h3>")[2].lstrip()
            folded = f"<details><summary>{len(told.new)} values</summary>"
            assert news.startswith(folded if len(told.new) > 40 else '<dl class="state">'), told.number
        assert len(_steps(recorded, opened.session.id)[0].new) > 40
