"""The command line: bad input is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import ROOT, circle, git


def told(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and what was said, which is no traceback."""
    ended = circle(folder, *arguments)
    assert "Traceback" not in ended.stderr + ended.stdout
    return ended.returncode, ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "no-such-session"], 1, "There is no session"),
        (["approve", "none", "--sha", "00"], 1, "There is no session"),
        (["start", "--researcher", "nobody", "x"], 2, "There is no researcher"),
        (["start", "--researcher", "scripted:none.json", "x"], 2, "cannot be read"),
        (["start", "--researcher", "catalogue:none", "x"], 2, "no folder"),
        (["start", "--target", "none", "x"], 1, "There is no folder"),
        (["start", "--max-runs", "-3", "x"], 2, "max-runs"),
        (["start", "--preset", "huge", "x"], 2, "There is no preset"),
        (["start", "--secret", "xyz", "x"], 2, "not hexadecimal"),
        (["start", "--patch", "none.diff", "--flags", "--rate 1", "x"], 2, "cannot be read"),
        (["start", "--patch", "none.diff", "x"], 2, "go together"),
        (["baseline", "--import", "none.json"], 2, "no metrics file"),
        (["baseline", "none.json"], 2, "only to import it"),
        (["baseline", "--import", ".", "--preset", "huge"], 2, "There is no preset"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_bad_input_is_told_in_a_sentence(plain: Path, arguments: list[str], code: int, words: str) -> None:
    got, said = told(plain, *arguments)
    assert got == code and words in said
    assert git(plain, "status", "--porcelain") == ""


def test_targets_that_cannot_be_used(tmp_path: Path, plain: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    assert told(plain, "start", "--target", str(tmp_path / "empty"), "x")[0] == 1
    (plain / "circle.toml").rename(plain / "moved.toml")
    git(plain, "commit", "-qam", "No circle.toml")
    assert "has no circle.toml" in told(plain, "start", "x")[1]
    (plain / "moved.toml").rename(plain / "circle.toml")
    assert "is not committed" in told(plain, "start", "x")[1]


def test_no_git_on_the_path(plain: Path) -> None:
    ended = circle(plain, "start", "x", PATH="/nowhere")
    assert ended.returncode == 1 and "install the git program" in ended.stderr and "Traceback" not in ended.stderr


def test_a_request_unlike_anything_in_the_catalogue_lists_what_there_is() -> None:
    ended = circle(ROOT, "start", "a quantum blockchain for cats")
    assert ended.returncode == 2 and "It has:" in ended.stderr and "Traceback" not in ended.stderr


def test_published_figures_are_imported_for_reference(plain: Path, tmp_path: Path) -> None:
    """Files that carry only the older fields are read; a cut one is refused and nothing of it stays."""
    good, cut = tmp_path / "metrics_8000000_20260101_000000.json", tmp_path / "cut.json"
    good.write_text(json.dumps({"final_metrics": {"val_loss": 4.9413}}))
    cut.write_text('{"final_metrics": {"val_loss": ')
    assert told(plain, "baseline", "--import", str(cut), "--import", str(good))[0] == 2
    code, said = told(plain, "baseline", "--import", str(good), "--json")
    (item,) = json.loads(said)["imported"]
    assert code == 0 and (item["file"], item["val_loss"]) == (str(good), 4.9413)
    assert {"seed", "configs", "commit", "device"} <= set(item["missing"])
    measured = json.loads(circle(plain, "baseline", "--json").stdout)
    assert {"metric", "direction", "n", "mean", "std", "runs", "imported"} <= measured.keys()
    assert measured["n"] == 8 and measured["imported"][0]["val_loss"] == 4.9413
    again = circle(plain, "baseline")
    assert "over 8 seeds" in again.stdout and "run " not in again.stderr, "what is on record is not measured again"


def test_lists_and_checks(plain: Path) -> None:
    assert json.loads(circle(plain, "list", "--json").stdout) == []
    assert circle(plain, "stop", "none").returncode == 1
    skills = circle(plain, "skills").stdout
    assert skills.count("SKILL.md") == 5 and "idea-revisor" in skills
    doctor = circle(plain, "doctor")
    assert doctor.returncode == 0 and "ok  sandbox: bubblewrap" in doctor.stdout


def test_a_full_disk_is_told_in_a_sentence(plain: Path, script: Callable[..., str]) -> None:
    """Every file is limited to 40 kB: the session's own files do not fit."""
    limited = f"ulimit -f 40; exec {sys.executable} -m agents.cli start --turbo --researcher {script()} x"
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ended = subprocess.run(
        ["bash", "-c", limited], cwd=plain, capture_output=True, text=True, env=unmeasured, check=False
    )
    assert ended.returncode != 0 and "Traceback" not in ended.stderr, ended.stderr


def test_help_imports_nothing_heavy() -> None:
    """What makes start-up slow is imported by the commands that need it."""
    heavy = "{'langgraph', 'torch', 'scipy', 'git', 'plotext'}"
    code = f"import sys; from agents import cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
