"""A person's own diff and flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.brought import pairs, plan_of
from agents.errors import UsageError
from agents.session import Home
from tests.commands import circle, diff_of, session_id, shown


def test_flags_are_split_into_names_and_values() -> None:
    assert pairs("--rate 0.03 --extra --note 'two words'") == [
        ("rate", "0.03"),
        ("extra", "true"),
        ("note", "two words"),
    ]
    assert pairs("--rate=0.03") == [("rate", "0.03")]
    for wrong in ("rate 0.03", "", "--", '--rate "', "--rate 1 --rate 2"):
        with pytest.raises(UsageError):
            pairs(wrong)


def test_defaults_come_from_the_base_or_the_diff(home: Home, plain: Path) -> None:
    diff = diff_of(plain, "settings.py", ("    batch: int = 8\n", "    batch: int = 8\n    boost: float = 1.5\n"))
    flags = plan_of(home, diff, "--boost 3.0 --rate 0.02 --intercept", "Mine").flags
    assert [(flag.name, flag.default, flag.value) for flag in flags] == [
        ("boost", 1.5, 3.0),
        ("rate", 0.01, 0.02),
        ("intercept", False, True),
    ]
    for flags, words in (
        ("--seed 24", "laboratory's"),
        ("--train_tokens 24000", "laboratory's"),
        ("--rate nan", "another type"),
        ("--rate", "another type"),
        ("--intercept 3", "another type"),
    ):
        with pytest.raises(UsageError, match=words):
            plan_of(home, "", flags, "Mine")
    with pytest.raises(UsageError, match="declared neither"):
        plan_of(home, "", "--unknown 1", "Mine")


def test_a_diff_of_ones_own_starts_at_the_reviewer(plain: Path, tmp_path: Path) -> None:
    """No researcher is asked for a plan or a patch; a diff that loses is nobody else's to revise."""
    patch = tmp_path / "mine.diff"
    patch.write_text("")
    ended = circle(plain, "start", "--turbo", "--patch", str(patch), "--flags", "--rate 0.003", "A lower rate")
    session = shown(plain, session_id(ended.stderr))
    assert ended.returncode == 3, ended.stderr
    assert session["versions"][0]["plan"]["title"] == "A lower rate"
    assert session["versions"][0]["verdict"]["cause"] == "theory"
    assert "nobody but its author" in session["conclusion"]
