"""`circle judge`: the verdict on a person's own diff, and the self-test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.brought import plan_of
from agents.records import Budget
from agents.researchers.nobody import Nobody
from agents.session import Home, Options, start
from tests.commands import circle, diff_of, git, session_id, shown

INTERCEPT = (
    ("settings.py", ("    batch: int = 8\n", "    batch: int = 8\n    constant: bool = False\n")),
    ("model.py", ("if configs.intercept else", "if configs.intercept or configs.constant else")),
)


def judged(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the one version as JSON, and what was said while it ran."""
    ended = circle(folder, "judge", *arguments, "--json")
    assert ended.returncode in (0, 3), ended.stderr
    return ended.returncode, json.loads(ended.stdout), ended.stderr


def test_a_diff_of_ones_own_is_approved_by_its_author(plain: Path, tmp_path: Path) -> None:
    """From standard input to a win: no researcher, every gate, and the version as `circle show` gives it."""
    text = "".join(diff_of(plain, path, replacement) for path, replacement in INTERCEPT)
    command = [sys.executable, "-m", "agents.cli", "judge", "--patch", "-", "--flags", "--constant", "--json"]
    ended = subprocess.run(command, cwd=plain, input=text, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    version = json.loads(ended.stdout)
    session = shown(plain, version.pop("session"))
    assert version == session["versions"][0] and session["researcher"] == "none"
    assert version["approval"]["sha256"] == version["diff_sha256"] and version["approval"]["by"] != "turbo"
    assert version["regression"]["passed"] and version["verdict"]["outcome"] == "win"
    assert git(plain, "status", "--porcelain") == ""


def test_a_diff_that_loses_is_nobodys_to_revise(plain: Path) -> None:
    code, version, said = judged(plain, "--flags", "--rate 0.003")
    assert (code, version["verdict"]["cause"]) == (3, "theory")
    assert "not promising" in said and not version["experiment"]["promising"]


@pytest.mark.long
def test_ablations_tell_the_mechanism_from_the_trivial_thing(plain: Path) -> None:
    """A rate that gives little of an intercept's gain does not explain it; the intercept itself with a nudge does.

    Runs, time and the smallest effect are said before the first run; after four runs a word that claims nothing.
    """
    trivial, other, broken = "--intercept true --rate 0.0098", "--rate 0.012", "--rate 30.0"
    ablations = [word for flags in (trivial, other, broken) for word in ("--ablation", flags)]
    _, version, said = judged(plain, "--flags", "--intercept", *ablations)
    first, second, third = version["experiment"]["ablations"]
    assert (first["name"], first["reading"], second["reading"]) == (trivial, "trivial", "mechanism")
    assert first["pairs"] in (4, 8) and second["missing"]["low"] > 0
    assert third["reading"] == "failed" and "explains the win" in said
    lines = said.splitlines()
    assert lines[1].startswith("expect") and "runs a version" in lines[1] and "smallest effect" in lines[1]
    screened = next(line for line in lines if line.startswith("V1 screen"))
    assert "promising, not proved after 4 runs" in screened and "claims nothing" in screened
    assert lines.index(screened) < next(i for i, line in enumerate(lines) if line.startswith("look"))
    assert version["experiment"]["promising"]
    session = session_id(said)
    paper = git(plain, "show", f"circle/{session}/v1:docs/research/papers/intercept.md")
    assert "### Was it the mechanism?" in paper and first["finding"] in paper


@pytest.mark.long
def test_a_win_is_tried_at_further_scales(plain: Path) -> None:
    """An intercept helps for ever; a higher rate only hurries, so its gain vanishes with time and is called so."""
    _, version, _ = judged(plain, "--flags", "--intercept", "--scales", "9.6k,4.8k")
    assert [(found["train_tokens"], found["reading"]) for found in version["experiment"]["scales"]] == [
        (4800, "holds"),
        (9600, "holds"),
    ]
    _, hurried, said = judged(plain, "--flags", "--rate 0.02", "--scales", "24k,48k")
    readings = {found["train_tokens"]: found["reading"] for found in hurried["experiment"]["scales"]}
    assert readings == {24_000: "scale-dependent", 48_000: "skipped"}
    log = git(plain, "show", f"circle/{session_id(said)}/v1:docs/research/idea_log.md")
    assert "**Status**: Validated, scale-dependent" in log


@pytest.mark.long
def test_checks_that_the_budget_has_no_room_for_are_named(plain: Path) -> None:
    """A win that is paid for stays a win; what could not be tried after it says so."""
    ended = circle(plain, "judge", "--flags", "--intercept", "--scales", "24k", "--max-runs", "50", "--json")
    assert ended.returncode == 0, ended.stderr
    version = json.loads(ended.stdout)
    assert [found["reading"] for found in version["experiment"]["scales"]] == ["budget"]


def test_a_limit_that_allows_no_verdict_is_said_before_the_first_run(plain: Path) -> None:
    code, version, said = judged(plain, "--flags", "--intercept", "--max-runs", "9")
    assert (code, version["verdict"]) == (3, None)
    assert "9 runs are allowed, and no verdict takes fewer than" in said.partition("\nrun ")[0]


@pytest.mark.long
def test_a_judged_session_that_was_stopped_needs_no_approval_when_it_goes_on(plain: Path) -> None:
    """Its author approved the diff by having it judged, however often the session is interrupted."""
    home = Home(plain)
    plan = plan_of(home, "", "--intercept", "intercept")
    opened = start(home, "", Nobody(), Options(budget=Budget(max_versions=1)), ("", plan), author="ada")
    ended = circle(plain, "resume", opened.session.id, "--json")
    assert ended.returncode == 0, ended.stderr
    (version,) = json.loads(ended.stdout)["versions"]
    assert (version["approval"]["by"], version["verdict"]["outcome"]) == ("ada", "win")


def test_the_self_test(plain: Path) -> None:
    """Equal arms are equal bit for bit, and Circle's rule is fooled least by this target's own noise."""
    ended = circle(plain, "judge", "--null", "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["n"], document["identical"]) == (16, True)
    shares = {rule["rule"]: rule["sessions_with_a_claim"] for rule in document["rules"]}
    own, *others = shares.values()
    assert own < 0.05 < min(others)
    printed = circle(plain, "judge", "--null")
    assert "bit for bit" in printed.stdout and all(rule in printed.stdout for rule in shares)


def test_a_target_that_does_not_repeat_itself_is_not_blamed_on_the_change(plain: Path) -> None:
    """Its floor is measured; the self-test ends with an error, and a verdict on flags alone names the target."""
    file = plain / "train.py"
    file.write_text(file.read_text().replace("Random(configs.seed)", "Random()"))
    git(plain, "commit", "-qam", "A seed that does nothing")
    told = circle(plain, "judge", "--null")
    assert told.returncode == 1 and "no verdict can rest on this target" in told.stderr
    code, version, _ = judged(plain, "--flags", "--intercept")
    assert (code, version["verdict"]["outcome"]) == (3, "invalid")
    assert "does not repeat itself" in version["verdict"]["finding"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--flags is missing"),
        (["--null", "--flags", "--rate 1"], "judges no diff"),
        (["--flags", "--rate 0.02", "--scales", "5x"], "no numbers of tokens"),
        (["--flags", "--rate 0.02", "--scales", "4.8k", "--train-tokens", "4800"], "name other scales"),
        (["--flags", "--rate 0.02", "--ablation", "rate"], "is no flag"),
        (["--flags", "--rate 0.02", "--patch", "none.diff"], "cannot be read"),
    ],
)
def test_bad_input_is_told_in_a_sentence(plain: Path, arguments: list[str], words: str) -> None:
    ended = circle(plain, "judge", *arguments)
    assert ended.returncode == 2 and words in ended.stderr and "Traceback" not in ended.stderr
