"""Sessions again from their journals: identical where nothing changed, and told where they part otherwise."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.drive import drive
from agents.family import steps
from agents.records import Approval, Edited
from agents.session import Home
from agents.waiting import newest_diff
from tests.commands import (
    analysis,
    change,
    circle,
    diff_of,
    git,
    plan,
    review,
    revision,
    rewrite_journal,
    session_id,
    shown,
)

Script = Callable[..., str]
LOWER = plan("A lower rate", ("rate", 0.01, 0.003))
BETTER = plan("An intercept", ("intercept", False, True))


def replayed(folder: Path, name: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the document of `circle replay --json`."""
    ended = circle(folder, "replay", name, "--json")
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout)


def world(folder: Path, name: str) -> tuple[str, bytes, set[str]]:
    """What a replay may not change: refs, the journal, and the files of the session."""
    session = folder / ".circle" / "sessions" / name
    return git(folder, "for-each-ref"), (session / "journal.sqlite").read_bytes(), {str(p) for p in session.rglob("*")}


@pytest.mark.long
def test_a_victory_after_a_failure_is_walked_through_again(plain: Path, script: Script) -> None:
    """Every step is as it was; nothing is asked, trained or committed; a changed record is told with both sides."""
    replies = [LOWER, change(), review(), analysis("Slow."), revision(), BETTER, change(), review(), analysis()]
    name = session_id(circle(plain, "start", "--turbo", "--researcher", script(*replies), "Rate").stderr)
    before = world(plain, name)
    code, document = replayed(plain, name)
    assert (code, document["identical"], document["first_divergence"]) == (0, True, None)
    assert document["steps"] == 18 and document["model_calls"] == document["runs"] == document["commits"] == 0
    assert world(plain, name)[0] == before[0] and world(plain, name)[2] == before[2]

    walked = circle(plain, "replay", name, "--step").stdout
    assert "=== step 2: planner V1" in walked and "--- experiment-planner was asked" in walked
    assert "--- diff\n(flags alone)" in walked and 'versions.0.plan.title = "A lower rate"' in walked
    assert "run screen experiment seed" in walked and "verdict win: Confirmed" in walked

    again = circle(plain, "replay", name, "--rerun", "--json")
    document = json.loads(again.stdout)
    assert again.returncode == 0 and document["rerun_identical"] == document["runs"] > 40
    assert world(plain, name)[0] == before[0] and world(plain, name)[2] == before[2]

    journal = plain / ".circle" / "sessions" / name / "journal.sqlite"
    _tamper(journal, "reply", "Slow.", "Fast.")
    code, document = replayed(plain, name)
    found = document["first_divergence"]
    assert code == 1 and found["node"] == "analyzer"
    assert re.search(r"today's docs/\S+\.md differs in line \d+: 'Fast\.'; on record: 'Slow\.'", found["what"])
    _tamper(journal, "reply", "Fast.", "Slow.")
    assert replayed(plain, name)[0] == 0
    rewrite_journal(journal, lambda kind, body: kind != "run" or body["stage"] != "screen")
    code, document = replayed(plain, name)
    assert code == 1 and document["first_divergence"]["node"] == "experiment"
    assert "today asks for the run" in document["first_divergence"]["what"]

    rewrite_journal(journal, lambda *_: True, _another_mean)
    code, document = replayed(plain, name)
    found = document["first_divergence"]
    assert code == 1 and (found["step"], found["node"]) == (1, "baseline")
    assert re.match(r"the state differs: baseline\.mean is 0\.\d+ today and 9\.9 on record", found["what"])
    assert circle(plain, "fork", name, "--at", "3").returncode == 1, "no fork from what the journal does not lead to"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("Plan the first", "Plan a first", "question to experiment-planner differs in line 1"),
        ('"stage"', '"stages"', "cannot go on from the record"),
    ],
)
def test_another_record_is_a_divergence(plain: Path, script: Script, before: str, after: str, told: str) -> None:
    """Not a traceback: a record that today's types do not know is a reason why people replay."""
    name = session_id(circle(plain, "start", "--researcher", script(LOWER, change(), review()), "Rate").stderr)
    journal = plain / ".circle" / "sessions" / name / "journal.sqlite"
    rewrite_journal(journal, lambda *_: True, lambda kind, text: text.replace(before, after))
    code, document = replayed(plain, name)
    assert code == 1 and told in document["first_divergence"]["what"], document


def _another_mean(kind: str, text: str) -> str:
    """The record of the first step, as if its state had had another mean."""
    body = json.loads(text)
    if kind == "step" and body["node"] == "baseline":
        body["changes"]["new"]["baseline.mean"] = 9.9
        body["sha256"] = "0" * 64
    return json.dumps(body)


def _tamper(journal: Path, kind: str, before: str, after: str) -> None:
    """Change entries as someone would who also mends the hashes."""
    rewrite_journal(
        journal, lambda found, body: True, lambda found, text: text.replace(before, after) if found == kind else text
    )


def test_a_damaged_journal_is_no_replay(plain: Path, script: Script) -> None:
    """An entry that was changed behind its hash is told, by number, as what differs."""
    name = session_id(circle(plain, "start", "--researcher", script(LOWER, change(), review()), "Rate").stderr)
    with sqlite3.connect(plain / ".circle" / "sessions" / name / "journal.sqlite") as database:
        database.execute("UPDATE entries SET body = replace(body, 'rate', 'late') WHERE kind = 'reply'")
    code, document = replayed(plain, name)
    assert code == 1 and not document["identical"]
    assert re.fullmatch(r"Entry \d+ of the journal has changed or is gone\.", document["first_divergence"]["what"])


@pytest.mark.long
def test_a_rejection_and_an_approval_are_replayed(plain: Path, script: Script) -> None:
    """A person's words are on record; while the session waits, the replay ends where it waits."""
    replies = [LOWER, change(), review(), BETTER, change(), review(), analysis()]
    name = session_id(circle(plain, "start", "--researcher", script(*replies), "Rate").stderr)
    assert replayed(plain, name)[1] | {"wall_seconds": 0} == {
        "id": name, "steps": 4, "identical": True, "first_divergence": None,
        "model_calls": 0, "runs": 0, "commits": 0, "wall_seconds": 0,
    }  # fmt: skip
    sha256 = shown(plain, name)["versions"][-1]["diff_sha256"]
    assert circle(plain, "reject", name, "--sha", sha256, "--comment", "Try an intercept.").returncode == 4
    sha256 = shown(plain, name)["versions"][-1]["diff_sha256"]
    assert circle(plain, "approve", name, "--sha", sha256).returncode == 0
    code, document = replayed(plain, name)
    assert (code, document["identical"]) == (0, True) and document["steps"] == 14


@pytest.mark.long
def test_an_edited_diff_is_replayed(plain: Path, script: Script) -> None:
    """The person's diff is on record: its commit, its review and the approval of the new bytes follow from it."""
    replies = [LOWER, change(), review(), review(), analysis()]
    started = circle(plain, "start", "--researcher", script(*replies), "--max-versions", "1", "Rate")
    opened = Home(plain).find(session_id(started.stderr))
    diff = diff_of(plain, "model.py", ("NOISE = 0.5\n", "NOISE = 0.5  # of the targets\n"))
    about = {"by": "ann", "at": "2026-01-01T00:00:00Z"}
    drive(opened, answer=Edited(decision="edited", sha256=newest_diff(opened)[1], diff=diff, **about))
    drive(opened, answer=Approval(decision="approved", sha256=newest_diff(opened)[1], **about))
    code, document = replayed(plain, opened.session.id)
    assert (code, document["identical"], opened.status()) == (0, True, "concluded")
    nodes = [step.node for step in steps(opened)]
    assert nodes[3:7] == ["reviewer", "approval", "reviewer", "approval"]


@pytest.mark.long
def test_a_session_that_was_killed_is_replayed(plain: Path, script: Script) -> None:
    """SIGKILL in the middle of the runs, resumed: the record is that of one session."""
    researcher = script(BETTER, change(), review(), analysis())
    command = [sys.executable, "-m", "agents.cli", "start", "--turbo", "--researcher", researcher, "Rate"]
    with subprocess.Popen(command, cwd=plain, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        name = session_id(process.stderr.readline())
        next(line for line in process.stderr if "screen experiment" in line)
        process.send_signal(signal.SIGKILL)
    assert circle(plain, "resume", name).returncode == 0
    code, document = replayed(plain, name)
    assert (code, document["identical"]) == (0, True)


def test_what_is_older_than_replays_is_told(plain: Path, script: Script) -> None:
    """Without steps on record there is nothing to compare with."""
    name = session_id(circle(plain, "start", "--turbo", "--researcher", script(LOWER), "--max-runs", "3", "x").stderr)
    rewrite_journal(plain / ".circle" / "sessions" / name / "journal.sqlite", lambda kind, body: kind != "step")
    ended = circle(plain, "replay", name)
    assert ended.returncode == 1 and "no steps on record" in ended.stderr
