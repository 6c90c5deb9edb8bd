"""The steps of real sessions: a fork's own news."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.session import Home
from agents.web.steps import Steps, Told
from tests.commands import change, circle, review, session_id
from tests.test_approval import CONSTANT, LOWER, constant, waiting

Script = Callable[..., str]


def _steps(folder: Path, name: str) -> tuple[Told, ...]:
    """All steps of a session that has not ended."""
    steps = Steps(Home(folder).find(name))
    return tuple(steps.step(mark.number, ended=False) for mark in steps.marks)


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
