"""A session on disk: approval, kill, stop, and a checkout that stays as it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.commands import analysis, change, circle, diff_of, git, plan, review, revision, session_id, shown

Script = Callable[..., str]
BETTER = plan("An intercept", ("intercept", False, True))
FIXED = ("--secret", "5eed", "--fresh-baseline", "--no-memory")


def checkout(folder: Path) -> tuple[str, ...]:
    """Return all of a person's checkout that a session could disturb."""
    return (
        git(folder, "rev-parse", "HEAD"),
        (folder / ".git" / "HEAD").read_text(),
        git(folder, "stash", "list"),
        git(folder, "status", "--porcelain=v2", "--untracked-files=all"),
        (folder / ".git" / "index").read_bytes().hex(),
        *(file.read_text() for file in sorted(folder.glob("*.py"))),
    )


def test_the_checkout_is_the_same_afterwards(plain: Path, script: Script) -> None:
    """Dirty, staged, stashed and detached: a session changes nothing of it."""
    (plain / "model.py").write_text((plain / "model.py").read_text() + "# stashed\n")
    git(plain, "stash")
    git(plain, "checkout", "-q", "--detach")
    (plain / "staged.py").write_text("x = 1\n")
    git(plain, "add", "staged.py")
    (plain / "settings.py").write_text((plain / "settings.py").read_text() + "# dirty\n")
    (plain / "untracked.txt").write_text("mine\n")
    before = checkout(plain)
    ended = circle(plain, "start", "--turbo", "--researcher", script(BETTER, change(), review(), analysis()), "Rate")
    assert ended.returncode == 0, ended.stderr
    assert checkout(plain) == before


def test_approval_is_on_the_bytes_that_were_shown(plain: Path, script: Script) -> None:
    """Without --turbo the session waits; a wrong SHA is refused and changes nothing, the right one goes on."""
    declared = diff_of(
        plain, "settings.py", ("    batch: int = 8\n", "    batch: int = 8\n    constant: bool = False\n")
    ) + diff_of(plain, "model.py", ("if configs.intercept else", "if configs.intercept or configs.constant else"))
    replies = [plan("Constant", ("constant", False, True)), change(declared), review(), analysis()]
    started = circle(plain, "start", "--researcher", script(*replies), "Rate")
    name = session_id(started.stderr)
    assert started.returncode == 4
    waiting = shown(plain, name)
    sha = waiting["versions"][0]["diff_sha256"]
    assert waiting["status"] == "awaiting_approval" and waiting["versions"][0]["approval"] is None
    raw = subprocess.run(
        [sys.executable, "-m", "agents.cli", "diff", name, "--raw"], cwd=plain, capture_output=True, check=True
    ).stdout
    assert b"constant" in raw and hashlib.sha256(raw).hexdigest() == sha
    refused = circle(plain, "approve", name, "--sha", "0" * 64)
    assert refused.returncode == 1 and sha in refused.stderr and "Traceback" not in refused.stderr
    assert shown(plain, name)["status"] == "awaiting_approval"
    assert circle(plain, "resume", name).returncode == 4
    approved = circle(plain, "approve", name, "--sha", sha.upper(), "--comment", "Looks right.")
    assert approved.returncode == 0, approved.stderr
    approval = shown(plain, name)["versions"][0]["approval"]
    assert (approval["decision"], approval["sha256"], approval["comment"]) == ("approved", sha, "Looks right.")


def test_a_rejection_reaches_the_planner(plain: Path, script: Script) -> None:
    """The next version is planned with the person's words in the question."""
    replies = [BETTER, change(), review(), plan("An intercept", ("intercept", False, True)), change(), review()]
    name = session_id(circle(plain, "start", "--researcher", script(*replies), "Rate").stderr)
    sha = shown(plain, name)["versions"][0]["diff_sha256"]
    rejected = circle(plain, "reject", name, "--sha", sha, "--comment", "Please try an intercept instead.")
    assert rejected.returncode == 4, rejected.stderr
    first, second = shown(plain, name)["versions"]
    assert first["approval"]["decision"] == "rejected" and second["parent"] == 1
    questions = [json.loads(body)["question"] for body in journal_of(plain, name, "reply")]
    assert any("Please try an intercept instead." in question for question in questions)


@pytest.mark.long
def test_a_killed_session_resumes_to_the_same_end(plain: Path, script: Script) -> None:
    """kill -9 in the middle of the runs: the end is the undisturbed session's, and no run is charged twice."""
    replies = [
        plan("A lower rate", ("rate", 0.01, 0.003)),
        change(),
        review(),
        analysis(),
        revision(),
        BETTER,
        change(),
        review(),
        analysis(),
    ]
    researcher = script(*replies)
    whole = shown(plain, session_id(circle(plain, *start(researcher)).stderr))
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *start(researcher)],
        cwd=plain,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    seen = 0
    for line in process.stderr:
        seen += line.startswith("run ")
        if seen == 14:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    name = session_id(first)
    assert shown(plain, name)["status"] == "stopped"
    resumed = circle(plain, "resume", name)
    assert resumed.returncode == 0, resumed.stderr
    again = shown(plain, name)
    assert runs_of(plain, again["id"]) == runs_of(plain, whole["id"])
    assert again["spend"]["runs"] == sum(journal_of(plain, name, "run").values())
    for same in ("mean", "std", "key"):
        assert again["baseline"][same] == whole["baseline"][same]
    assert again["status"] == whole["status"] == "victory"
    for one, other in zip(again["versions"], whole["versions"], strict=True):
        assert [one[key] for key in ("commit", "diff_sha256")] == [other[key] for key in ("commit", "diff_sha256")]
        assert one["verdict"]["outcome"] == other["verdict"]["outcome"]
        assert one["experiment"]["pairs"] == other["experiment"]["pairs"]


def journal_of(folder: Path, name: str, kind: str) -> Counter[str]:
    """Return the bodies of a kind in a session's journal, each with how often it is there."""
    with sqlite3.connect(folder / ".circle" / "sessions" / name / "journal.sqlite") as database:
        return Counter(body for (body,) in database.execute("SELECT body FROM entries WHERE kind = ?", (kind,)))


def runs_of(folder: Path, name: str) -> list[tuple[str, int, str]]:
    """Return what was trained, but for the longer baselines that depend on measured step times."""
    runs = [json.loads(body) for body in journal_of(folder, name, "run")]
    return sorted((run["stage"], run["seed"], run["key"]) for run in runs if run["stage"] != "stretched")


def start(researcher: str) -> list[str]:
    """Return the arguments of a session that two runs of it can be compared by."""
    return ["start", "--turbo", "--researcher", researcher, *FIXED, "Rate"]


@contextmanager
def running(folder: Path, researcher: str) -> Iterator[tuple[str, subprocess.Popen[str], IO[str]]]:
    """Give a session that trains its first runs: its id, its process, and what it goes on to say."""
    command = [sys.executable, "-m", "agents.cli", *start(researcher)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        name = session_id(process.stderr.readline())
        next(line for line in process.stderr if line.startswith("run "))
        yield name, process, process.stderr


def test_ctrl_c_is_a_clean_stop(plain: Path, script: Script) -> None:
    """SIGTERM ends the session with exit code 5 and a sentence; resume goes on."""
    with running(plain, script(BETTER, change(), review(), analysis())) as (name, process, errors):
        process.send_signal(signal.SIGTERM)
        rest = errors.read()
    assert process.returncode == 5, rest
    assert f"circle resume {name}" in rest and "Traceback" not in rest
    assert circle(plain, "resume", name).returncode == 0


def test_stop_and_a_second_process(plain: Path, script: Script) -> None:
    """A running session refuses a second process, and stops at its next boundary when asked."""
    with running(plain, script(BETTER, change(), review(), analysis())) as (name, process, errors):
        second = circle(plain, "resume", name)
        assert second.returncode == 1 and "another process" in second.stderr
        assert circle(plain, "stop", name).returncode == 0
        errors.read()
    assert process.returncode == 5
    assert shown(plain, name)["status"] == "stopped"


def test_the_baseline_is_reused_and_checked(plain: Path, script: Script) -> None:
    """A second session trains one floor run, finds it equal, and reuses the rest; another machine key would not."""
    runs = []
    for value in (0.003, 0.004):
        git(plain, "commit", "-q", "--allow-empty", "-m", "A commit that changes no code keeps the key")
        replies = [plan("Lower", ("rate", 0.01, value)), change(), review(), analysis()]
        ended = circle(plain, "start", "--turbo", "--researcher", script(*replies), "--max-versions", "1", "Rate")
        runs.append(shown(plain, session_id(ended.stderr)))
    assert not runs[0]["baseline"]["reused"] and runs[1]["baseline"]["reused"]
    assert runs[1]["spend"]["runs"] == runs[0]["spend"]["runs"] - 7


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("Random(configs.seed)", "Random(7)", "the seed changes nothing"),
        ("for step in range(1, steps + 1):", "for step in [] and range(1, steps + 1):", "failed with seed"),
    ],
)
def test_a_baseline_that_cannot_carry_a_verdict_is_refused(
    plain: Path, script: Script, before: str, after: str, words: str
) -> None:
    """Seeds without effect, or a baseline that fails, end in one sentence and exit code 1."""
    train = plain / "train.py"
    train.write_text(train.read_text().replace(before, after))
    git(plain, "commit", "-qam", "Break it")
    ended = circle(plain, "start", "--turbo", "--researcher", script(), "Rate")
    assert ended.returncode == 1 and words in ended.stderr and "Traceback" not in ended.stderr
    assert shown(plain, session_id(ended.stderr))["status"] == "failed"


@pytest.mark.long
def test_a_damaged_session_does_not_stand_in_the_way(plain: Path, script: Script) -> None:
    """It is told by its name when asked for, and left out of lists and memories."""
    name = session_id(circle(plain, "start", "--researcher", script(BETTER, change(), review()), "Rate").stderr)
    other = session_id(circle(plain, "start", "--researcher", script(BETTER, change(), review()), "Rate").stderr)
    (plain / ".circle" / "sessions" / name / "session.json").write_text('{"id": ')
    told = circle(plain, "show", name)
    assert told.returncode == 1 and "damaged" in told.stderr
    assert [row["id"] for row in json.loads(circle(plain, "list", "--json").stdout)] == [other]
    for damage in ("[1, 2]", '"x"', '{"tried": 5}', "{"):
        (plain / ".circle" / "sessions" / other / "summary.json").write_text(damage)
        assert circle(plain, "list").returncode == 0
    (plain / ".circle" / "sessions" / other / "checkpoints.sqlite").write_bytes(b"no database" * 500)
    assert "unreadable" in circle(plain, "list").stdout
    assert circle(plain, "start", "--researcher", script(BETTER, change(), review()), "Rate").returncode == 4
