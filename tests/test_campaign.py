"""A campaign: a queue of ideas, one error budget, each win the next baseline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.campaign.bundle import bundle_of
from agents.campaign.ideas import read_ideas
from agents.errors import DiffRefused, UsageError
from agents.false_wins import Noise, night, upper
from agents.records import Experiment, Flag, Interval, Plan, Verdict, Version
from agents.session import Home
from agents.settings import load_target
from agents.statistics import confirmations_within
from tests.sessions import circle, diff_of, git, shown

BATCH = "    batch: int = 8\n"
CONSTANT = (
    ("settings.py", (BATCH, BATCH + "    constant: bool = False\n")),
    ("model.py", ("if configs.intercept else", "if configs.intercept or configs.constant else")),
)
QUICK = (
    ("settings.py", (BATCH, BATCH + "    quick: bool = False\n")),
    ("model.py", ("[w - configs.rate * g", "[w - configs.rate * (2 if configs.quick else 1) * g")),
)
LOWER, HIGHER, INTERCEPT = (
    {"title": "A lower rate", "flags": "--rate 0.003"},
    {"title": "A higher rate", "flags": "--rate 0.02"},
    {"title": "An intercept", "flags": "--constant true", "patch": "constant.diff"},
)


def queue(folder: Path, *ideas: dict[str, Any]) -> list[str]:
    """Return the words that start a campaign with these ideas, the diff of an intercept beside them."""
    beside = folder.parent
    (beside / "constant.diff").write_text("".join(diff_of(folder, path, change) for path, change in CONSTANT))
    (beside / "ideas.json").write_text(json.dumps({"ideas": list(ideas)}))
    return ["campaign", "--ideas", str(beside / "ideas.json"), "--secret", "5eed", "--json"]


def trained(folder: Path) -> Counter[str]:
    """Return the keys of all runs that the sessions and campaigns of a target have trained, by their logs."""
    return Counter(str(log.relative_to(folder)) for log in (folder / ".circle").glob("*/*/runs/*.log"))


def journal(folder: Path, name: str, kind: str) -> list[dict[str, Any]]:
    """Return the bodies of a kind in a session's journal."""
    import sqlite3

    with sqlite3.connect(folder / ".circle" / "sessions" / name / "journal.sqlite") as database:
        return [json.loads(body) for (body,) in database.execute("SELECT body FROM entries WHERE kind = ?", (kind,))]


def test_wins_stack_and_a_killed_night_goes_on(plain: Path) -> None:
    """Killed in its second session, it ends with both wins: the second has the first in both of its arms."""
    arguments = queue(plain, LOWER, HIGHER, INTERCEPT)
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=plain,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        name = process.stderr.readline().split()[1]
        seen = 0
        for line in process.stderr:
            seen += line.startswith("run ")
            if seen == 22:
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = {log: log.stat().st_mtime_ns for log in (plain / ".circle").glob("sessions/*/runs/*.log")}
    done = circle(plain, "campaign", "--resume", name, "--json")
    assert done.returncode == 0, done.stderr
    night = json.loads(done.stdout)
    again = [log for log, when in before.items() if log.stat().st_mtime_ns != when]
    assert len(before) >= 21 and len(again) <= 2, "no run but those that were cut short is trained again"
    first, second = night["wins"]
    assert (first["title"], second["title"]) == ("An intercept", "A higher rate")
    assert night["confirmations"] == {"used": 2, "allowed": 15, "error": 0.05}
    assert night["stacked"]["low"] > first["effect"] / 2 and night["stacked"]["mean"] > second["effect"]
    runs = journal(plain, second["session"], "run")
    assert all("constant=true" in run["flags"] for run in runs)
    assert {run["commit"] for run in runs if run["stage"] == "confirm" and run["arm"] == "baseline"} == {
        first["commit"]
    }
    assert git(plain, "rev-parse", night["branch"]).strip() == second["commit"]
    assert git(plain, "merge-base", "--is-ancestor", first["commit"], night["branch"]) == ""
    assert [old["title"] for old in night["tried"]].count("A higher rate") == 2
    assert [old["title"] for old in night["tried"]].count("A lower rate") == 1
    dropped = next(old for old in night["tried"] if old["ended"] == "dropped")
    assert shown(plain, dropped["session"])["conclusion"] == "Better ideas of the campaign had the runs."
    report = (plain / ".circle" / "campaigns" / name / "report.md").read_text()
    assert "2 wins, 2 of 15 confirmations" in report and "--constant true" in report
    once_more = circle(plain, "campaign", "--resume", name, "--json")
    assert once_more.returncode == 0 and json.loads(once_more.stdout)["wins"] == night["wins"]
    assert git(plain, "status", "--porcelain") == "" and git(plain, "branch", "--show-current").strip() == "main"


def test_the_error_budget_ends_the_night(plain: Path) -> None:
    """One confirmation is bought, and goes to the surest; the other idea is dropped, and told as promising."""
    ended = circle(plain, *queue(plain, HIGHER, INTERCEPT), "--error", "0.004", "--minimum-effect", "9")
    assert ended.returncode == 3, ended.stderr
    night = json.loads(ended.stdout)
    assert night["confirmations"] == {"used": 1, "allowed": 1, "error": 0.004}
    assert {old["title"]: old["ended"] for old in night["tried"]} == {
        "An intercept": "refused",
        "A higher rate": "dropped",
    }
    assert [old["title"] for old in night["next"]["promising"]] == ["A higher rate", "An intercept"]
    assert "confirmations of the night are used" in night["cost"]["spent"]
    confirmed = [run for old in night["tried"] for run in journal(plain, old["session"], "run") if run["hidden"]]
    assert {run["stage"] for run in confirmed} == {"confirm"} and len(confirmed) == 32
    refused = circle(plain, *queue(plain, HIGHER), "--error", "0.003")
    assert refused.returncode == 2 and "buys no confirmation" in refused.stderr


def test_what_waits_for_a_person_is_left_waiting(plain: Path, tmp_path: Path) -> None:
    """The rest goes on, the person is told once, and the night goes on after their approval."""
    idea = tmp_path / "catalogue" / "pace"
    idea.mkdir(parents=True)
    (idea / "idea.toml").write_text(
        'text = "Another pace"\nsource = "none"\nkeywords = "pace"\ncriteria = "Better."\n'
        '[[variants]]\nname = "slow"\ntitle = "A slow pace"\nhypothesis = "h"\nmethod = "m"\n'
        'flags = [{ name = "rate", default = 0.01, value = 0.004 }]\n'
    )
    notes = tmp_path / "notes"
    command = f"{sys.executable} -c \"import os; e = os.environ; open({str(notes)!r}, 'a').write("
    command += "e['CIRCLE_EVENT'] + ' ' + e['CIRCLE_ID'] + chr(10))\""
    arguments = [*queue(plain, {"idea": "pace"}, LOWER), "--researcher", f"catalogue:{tmp_path / 'catalogue'}"]
    paused = circle(plain, *arguments, "--notify", command)
    assert paused.returncode == 4, paused.stderr
    night = json.loads(paused.stdout)
    (waiting,) = night["next"]["waiting"]
    assert [old["title"] for old in night["tried"]] == ["A lower rate"]
    assert notes.read_text() == f"approval {waiting['session']}\n"
    assert circle(plain, "campaign", "--resume", night["id"], "--notify", command).returncode == 4
    sha = shown(plain, waiting["session"])["versions"][0]["diff_sha256"]
    approved = circle(plain, "approve", waiting["session"], "--sha", sha)
    assert approved.returncode == 5, "held before its next version, as the campaign has it"
    assert "waits for its next version" in shown(plain, waiting["session"])["held"]
    assert circle(plain, "resume", waiting["session"]).returncode == 5
    ended = circle(plain, "campaign", "--resume", night["id"], "--json", "--notify", command)
    assert ended.returncode == 3 and json.loads(ended.stdout)["status"] == "concluded", ended.stderr
    assert [line.split()[0] for line in notes.read_text().splitlines()] == ["approval", "end"]


@pytest.mark.long
def test_a_bundle_wins_where_its_members_do_not(plain: Path) -> None:
    """Each gain is below the least that counts, and both together are not; each is an ablation of the bundle."""
    ended = circle(plain, *queue(plain, HIGHER, INTERCEPT), "--turbo", "--minimum-effect", "0.165")
    assert ended.returncode == 0, ended.stderr
    night = json.loads(ended.stdout)
    (win,) = night["wins"]
    assert win["title"] == "Bundle of An intercept, A higher rate" and night["confirmations"]["used"] == 3
    assert night["stacked"] is None and win["effect"] > 0.165
    session = shown(plain, win["session"])
    names = [found["name"] for found in session["versions"][0]["experiment"]["ablations"]]
    assert names == ["without An intercept", "without A higher rate"]


def version(home: Home, changes: Any, flag: str, gain: float) -> Version:
    diff = "".join(diff_of(home.target, path, change) for path, change in changes)
    base = home.workspace.head()
    return Version(
        n=1,
        parent=None,
        plan=Plan(
            title=flag, hypothesis="h", method="m", flags=(Flag(name=flag, default=False, value=True),), criteria="c"
        ),
        patch=home.workspace.commit_version(f"circle/test/{flag}", base, diff, flag),
        experiment=Experiment(
            pairs=(), ended="refused", visible_effect=Interval(mean=gain, low=0, high=1), promising=True
        ),
        verdict=Verdict(outcome="inconclusive", cause="noise", row=9, finding="f"),
    )


def test_changes_are_joined_and_conflicts_are_named(home: Home) -> None:
    """Declarations at one place of the flag file are all kept; two changes of one line are not guessed at."""
    one = version(home, CONSTANT, "constant", 0.2)
    two = version(home, (QUICK[0],), "quick", 0.1)
    other = version(home, QUICK, "hasty", 0.05)
    target, base = load_target(home.target), home.workspace.head()
    made = bundle_of(home.workspace, target, base, [other, two, one])
    assert made.members == ("constant", "quick") and list(made.left_out) == ["hasty"]
    assert "model.py" in made.left_out["hasty"]
    commit = home.workspace.commit_version("circle/test/joined", base, made.diff, "Joined").commit
    settings = home.workspace.read(commit, "settings.py") or ""
    assert "constant: bool" in settings and "quick: bool" in settings and "<<<" not in settings
    assert bundle_of(home.workspace, target, base, [one, version(home, CONSTANT, "constant", 0.1)]).members == ()
    with pytest.raises(DiffRefused, match=r"settings\.py"):
        home.workspace.join(base, [found.patch.commit for found in (one, two) if found.patch], lambda path: False)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ideas.txt", "# nothing\n\n", "hold no idea"),
        ("ideas.toml", "ideas = 3", "no list"),
        ("ideas.toml", "ideas = [", "not valid TOML"),
        ("ideas.json", '[{"flags": "--rate 1", "patch": "none.diff"}]', "cannot be read"),
        ("ideas.json", '[{"idea": "x", "flags": "--rate 1"}]', "needs either"),
        ("ideas.json", '[{"patch": "x.diff"}]', "needs either"),
        ("ideas.json", '["dropout", {"flag": "--rate 1"}]', "Idea 2"),
    ],
)
def test_a_bad_queue_is_told_by_its_entry(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=words):
        read_ideas(tmp_path / name)


def test_a_queue_that_cannot_be_started_makes_nothing(plain: Path) -> None:
    for idea, words in (({"flags": "--no_such 1"}, "Idea 1"), ({"idea": "a blockchain for cats"}, "no idea like")):
        ended = circle(plain, *queue(plain, idea))
        assert ended.returncode == 2 and words in ended.stderr and "Traceback" not in ended.stderr
    assert not (plain / ".circle").exists()
    assert circle(plain, "campaign", "--resume", "none").returncode == 1


def test_a_night_of_useless_ideas_claims_within_its_error_budget() -> None:
    """Where every idea overfits the visible split, all confirmations are used; the share of false nights is bounded."""
    for confidence, allowed in (("standard", 15), ("relaxed", 5), ("strict", 25)):
        assert confirmations_within(0.05, confidence) == allowed  # type: ignore[arg-type]
    noise = Noise(np.random.default_rng(9).standard_normal)
    played = night(noise, 4000, 20, 15, overfit=9.0)
    assert set(played.ideas) == {15}
    false = int((played.claims > 0).sum())
    assert upper(false, 4000) < 0.06 and false / 4000 < 0.05 and false > 60
    assert (night(noise, 4000, 20, 15).claims > 0).mean() < 0.02
