"""What session tests share: the circle command as a process, and the replies of a scripted researcher."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from agents.journal import Journal

TARGETS = Path(__file__).parent / "targets"
ROOT = Path(__file__).parent.parent

Reply = tuple[str, dict[str, Any]]


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person would and return what it printed."""
    identity = ["-c", "user.name=A Person", "-c", "user.email=person@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def scratch_repository(root: Path) -> Path:
    """Commit this working tree's training code as a repository of its own, at `root`."""
    for name in ("trainer", "optimizers"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train_llm.py", "circle.toml"):
        shutil.copy(ROOT / name, root / name)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "The training code")
    return root


def circle(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the circle command in a folder, as a process of its own."""
    command = [sys.executable, "-m", "agents.cli", *arguments]
    env = os.environ | {"COLUMNS": "200"} | environment
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, check=False)


def shown(folder: Path, name: str) -> dict[str, Any]:
    """Return `circle show --json` of a session."""
    document: dict[str, Any] = json.loads(circle(folder, "show", name, "--json").stdout)
    return document


def session_id(errors: str) -> str:
    """Return the id from the first line of what `circle start` writes to standard error."""
    word, name = errors.splitlines()[0].split()
    assert word == "session"
    return name


def diff_of(folder: Path, path: str, *replacements: tuple[str, str]) -> str:
    """Return the unified diff that makes these replacements in a file of the base commit."""
    old = (folder / path).read_text()
    new = old
    for before, after in replacements:
        assert before in new, before
        new = new.replace(before, after, 1)
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(lines)


def plan(title: str, *flags: tuple[str, Any, Any], files: Iterable[str] = ()) -> Reply:
    """Return a planner's reply whose flags are (name, default, value)."""
    named = [dict(zip(("name", "default", "value"), flag, strict=True)) for flag in flags]
    reply = {
        "title": title,
        "hypothesis": f"{title} lowers the loss.",
        "method": f"{title}.",
        "files": list(files),
        "flags": named,
        "criteria": "The loss falls by more than the noise.",
    }
    return "experiment-planner", reply


def change(diff: str = "") -> Reply:
    """Return an implementer's reply."""
    return "experiment-planner", {"diff": diff, "summary": "What the plan says."}


def review(*issues: dict[str, Any]) -> Reply:
    """Return a reviewer's reply: passed unless there are issues."""
    return "implementation-reviewer", {"passed": not issues, "issues": list(issues)}


def analysis(reason: str = "As measured.", *lessons: str) -> Reply:
    """Return an analyzer's reply."""
    return "experiment-analyzer", {"reason": reason, "lessons": list(lessons)}


def revision(text: str = "", *, exhausted: bool = False) -> Reply:
    """Return a revisor's reply."""
    return "idea-revisor", {"exhausted": exhausted, "change": text or "Another rate."}


def rewrite_journal(
    journal: Path,
    keep: Callable[[str, Any], bool],
    change: Callable[[str, str], str] = lambda kind, text: text,
) -> None:
    """Write a journal anew from what it holds, with what is to be kept, changed."""
    with sqlite3.connect(journal) as database:
        rows = database.execute("SELECT kind, key, body FROM entries ORDER BY seq").fetchall()
    for file in journal.parent.glob("journal.*"):
        file.unlink()
    again = Journal(journal)
    for kind, key, text in rows:
        if keep(kind, body := json.loads(change(kind, text))):
            again.once(kind, key, partial(lambda given: given, body))
    again.close()
