"""A checkpoint that is lost is made again from the journal; a journal that is damaged is told, with what stands."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import analysis, change, circle, plan, review, session_id, shown

Script = Callable[..., str]
BETTER = plan("An intercept", ("intercept", False, True))
REPLIES = (BETTER, change(), review(), analysis())


@pytest.fixture
def waiting(plain: Path, script: Script) -> str:
    """Return a session that waits for an approval."""
    return session_id(circle(plain, "start", "--researcher", script(*REPLIES), "Rate").stderr)


def folder(plain: Path, name: str) -> Path:
    return plain / ".circle" / "sessions" / name


def approved(plain: Path, name: str, **environment: str) -> int:
    return circle(plain, "approve", name, "--sha", _sha256(plain, name), **environment).returncode


def _sha256(plain: Path, name: str) -> str:
    return str(shown(plain, name)["versions"][-1]["diff_sha256"])


@pytest.mark.parametrize(
    "damage", ["deleted", *(pytest.param(damage, marks=pytest.mark.long) for damage in ("no database", "cut", "old"))]
)
def test_a_lost_checkpoint_is_made_again(plain: Path, waiting: str, damage: str) -> None:
    """It is told by who reads it, and mended by who resumes: the session stands where its journal says."""
    file = folder(plain, waiting) / "checkpoints.sqlite"
    for log in file.parent.glob("checkpoints.sqlite-*"):
        log.unlink()
    if damage == "deleted":
        file.unlink()
    elif damage == "cut":
        os.truncate(file, file.stat().st_size - 4096)
    elif damage == "no database":
        file.write_bytes(b"no database" * 500)
    else:
        with sqlite3.connect(file) as database:
            database.execute("DELETE FROM checkpoints")
    told = circle(plain, "show", waiting)
    assert told.returncode == 1 and f"circle resume {waiting} makes it again" in told.stderr
    assert circle(plain, "resume", waiting).returncode == 4
    assert shown(plain, waiting)["status"] == "awaiting_approval"
    assert approved(plain, waiting) == 0
    assert circle(plain, "replay", waiting).returncode == 0


@pytest.mark.long
def test_a_decision_on_record_needs_no_second_one(plain: Path, waiting: str) -> None:
    """Killed between the answer's record and the graph's next step: resume acts on it, and another is refused."""
    assert approved(plain, waiting, CIRCLE_CRASH_AT="answer recorded #1") == -signal.SIGKILL
    assert shown(plain, waiting)["status"] == "stopped"
    other = circle(plain, "reject", waiting, "--sha", _sha256(plain, waiting), "--comment", "No.")
    assert other.returncode == 1 and "does not wait for an approval" in other.stderr
    assert circle(plain, "resume", waiting).returncode == 0
    assert shown(plain, waiting)["versions"][0]["approval"]["decision"] == "approved"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
        *(
            pytest.param(statement, marks=pytest.mark.long)
            for statement in (
                "UPDATE entries SET body = replace(body, '0', '1') WHERE kind = 'run'",
                "DELETE FROM entries WHERE kind = 'run'",
                "UPDATE entries SET key = key || 'x' WHERE kind = 'reply'",
            )
        ),
    ],
)
def test_a_damaged_journal_is_told_and_its_last_state_goes_on_as_a_fork(
    plain: Path, script: Script, waiting: str, statement: str
) -> None:
    """Nothing is done on what is not known for certain: what stands is the checkpoint, and the branches."""
    with sqlite3.connect(folder(plain, waiting) / "journal.sqlite") as database:
        database.execute(statement)
    told = circle(plain, "resume", waiting)
    assert told.returncode == 1 and "Traceback" not in told.stderr
    fork = re.search(rf"circle fork {waiting} --at (\d+) goes on from there", told.stderr)
    assert fork and "still stand" in told.stderr, told.stderr
    made = circle(plain, "fork", waiting, "--at", fork[1], "--researcher", script(analysis()))
    assert made.returncode == 4, made.stderr
    assert approved(plain, session_id(made.stderr)) == 0


def test_a_deleted_journal_is_told(plain: Path, waiting: str) -> None:
    for file in folder(plain, waiting).glob("journal.sqlite*"):
        file.unlink()
    told = circle(plain, "resume", waiting)
    assert told.returncode == 1 and f"circle fork {waiting} --at 4" in told.stderr, told.stderr


def test_a_journal_that_is_gone_after_the_first_step_is_told(plain: Path, script: Script) -> None:
    """Nothing is done a second time on a record that is not there."""
    command = ("start", "--turbo", "--researcher", script(*REPLIES), "Rate")
    name = session_id(circle(plain, *command, CIRCLE_CRASH_AT="step recorded #1").stderr)
    for file in folder(plain, name).glob("journal.*"):
        file.unlink()
    told = circle(plain, "resume", name)
    assert told.returncode == 1 and f"circle fork {name} --at 1" in told.stderr, told.stderr


def test_a_damaged_summary_is_told(plain: Path, waiting: str) -> None:
    """What was tried is not forgotten in silence."""
    file = folder(plain, waiting) / "summary.json"
    for text in ("{}", None):
        file.write_text(text) if text else file.unlink()
        assert waiting in circle(plain, "ideas").stderr
    assert circle(plain, "resume", waiting).returncode == 4 and circle(plain, "ideas").stderr == ""


def test_what_a_session_is_about_is_sealed(plain: Path, waiting: str) -> None:
    """Another secret would draw other seeds: a session.json that was changed is not used."""
    file = folder(plain, waiting) / "session.json"
    document = json.loads(file.read_text())
    document["body"]["secret"] = "0" * 32
    file.write_text(json.dumps(document))
    told = circle(plain, "resume", waiting)
    assert told.returncode == 1 and "damaged" in told.stderr
