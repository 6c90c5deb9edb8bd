"""Steps, forks and the family: a fork goes on from where it began, and the old session is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import analysis, change, circle, git, plan, review, revision, session_id, shown

Script = Callable[..., str]
LOWER = plan("A lower rate", ("rate", 0.01, 0.003))
BETTER = plan("An intercept", ("intercept", False, True))


def test_a_fork_takes_another_way_and_leaves_the_old_one(plain: Path, script: Script) -> None:
    """From the step after the failure with another researcher: it wins, on branches and an account of its own."""
    first = script(LOWER, change(), review(), analysis("Slow."), revision(exhausted=True))
    old = session_id(circle(plain, "start", "--turbo", "--researcher", first, "Rate").stderr)
    assert shown(plain, old)["status"] == "concluded"
    steps = json.loads(circle(plain, "log", old, "--json").stdout)["steps"]
    assert [step["node"] for step in steps] == [
        "baseline", "planner", "implementer", "reviewer", "approval", "regression", "experiment", "analyzer",
        "revisor", "conclude",
    ]  # fmt: skip
    before = (git(plain, "for-each-ref", f"refs/heads/circle/{old}"), shown(plain, old))

    missing, last = (circle(plain, "fork", old, "--at", step) for step in ("90", "10"))
    assert missing.returncode == last.returncode == 1
    assert "has no step 90" in missing.stderr and "it ended there" in last.stderr

    other = script(revision("Add what is missing."), BETTER, change(), review(), analysis("It was missing."))
    at = next(step["number"] for step in steps if step["node"] == "analyzer")
    ended = circle(plain, "fork", old, "--at", str(at), "--idea", "An intercept", "--researcher", other)
    assert ended.returncode == 0, ended.stderr
    new = session_id(ended.stderr)
    document = shown(plain, new)
    assert document["status"] == "victory" and document["idea"] == "An intercept"
    assert [version["verdict"]["outcome"] for version in document["versions"]] == ["loss", "win"]
    assert document["versions"][0]["branch"] == f"circle/{new}/v1"
    assert document["spend"]["runs"] < before[1]["spend"]["runs"] + 40
    assert (git(plain, "for-each-ref", f"refs/heads/circle/{old}"), shown(plain, old)) == before
    for name in (old, new):
        assert json.loads(circle(plain, "replay", name, "--json").stdout)["identical"] is True
    tree = circle(plain, "log", new).stdout
    assert f"{old}  concluded         the first" in tree and f"    {new}  victory           from step {at}  <-" in tree


@pytest.mark.long
def test_a_fork_of_a_victory_saves_its_checkpoint(plain: Path, script: Script) -> None:
    """The winning run is in the old session's record; it is trained for the new one."""
    researcher = script(BETTER, change(), review(), analysis())
    old = session_id(circle(plain, "start", "--turbo", "--researcher", researcher, "Rate").stderr)
    made = circle(plain, "fork", old, "--at", "8", "--researcher", script())
    assert made.returncode == 0, made.stderr
    assert Path(shown(plain, session_id(made.stderr))["victory"]["checkpoint"]).is_file()


@pytest.mark.long
def test_a_fork_gives_another_human_answer(plain: Path, script: Script) -> None:
    """Approved in one, rejected in the other; a budget can be raised as well."""
    old = session_id(circle(plain, "start", "--researcher", script(LOWER, change(), review()), "Rate").stderr)
    sha256 = shown(plain, old)["versions"][0]["diff_sha256"]
    other = script(BETTER, change(), review(), analysis())
    ended = circle(plain, "fork", old, "--at", "4", "--researcher", other, "--max-runs", "70")
    assert ended.returncode == 4, ended.stderr
    new = session_id(ended.stderr)
    assert shown(plain, new)["budget"]["max_runs"] == 70
    assert circle(plain, "reject", new, "--sha", sha256, "--comment", "An intercept, please.").returncode == 4
    assert shown(plain, old)["status"] == "awaiting_approval"
    assert [version["plan"]["title"] for version in shown(plain, new)["versions"]] == ["A lower rate", "An intercept"]


@pytest.mark.long
def test_a_spent_budget_that_was_raised_goes_on(plain: Path, script: Script) -> None:
    """What was tried stays tried; the fork pays for what comes next, and the versions of before count."""
    first = script(LOWER, change(), review(), analysis("Slow."), revision("More."), BETTER, change(), review())
    ended = circle(plain, "start", "--turbo", "--researcher", first, "--max-versions", "1", "Rate")
    old = session_id(ended.stderr)
    assert ended.returncode == 3 and "1 version was tried" in shown(plain, old)["conclusion"]
    rest = script(revision("More."), BETTER, change(), review(), analysis())
    assert rest == first, "the script of a session is a file"
    more = circle(plain, "resume", old, "--max-versions", "2")
    assert more.returncode == 0, more.stderr
    new = shown(plain, session_id(more.stderr))
    assert new["status"] == "victory" and len(new["versions"]) == 2
    assert "nothing left to be spent on" in circle(plain, "resume", new["id"], "--max-runs", "500").stderr
