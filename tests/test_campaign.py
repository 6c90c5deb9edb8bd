"""A campaign: a queue of ideas, one error budget, each win the next baseline."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.campaign.bundle import Member, bundle_of
from agents.campaign.ideas import read_ideas
from agents.errors import DiffRefused, UsageError
from agents.false_wins import Noise, night, upper
from agents.records import Flag, Plan, Version
from agents.session import Home
from agents.settings import load_target
from agents.statistics import confirmations_within
from tests.commands import circle, diff_of, git, rewrite_journal, shown

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


def journal(folder: Path, name: str, kind: str) -> list[dict[str, Any]]:
    """Return the bodies of a kind in a session's journal."""
    with sqlite3.connect(folder / ".circle" / "sessions" / name / "journal.sqlite") as database:
        return [json.loads(body) for (body,) in database.execute("SELECT body FROM entries WHERE kind = ?", (kind,))]


PACE = """
text = "Another pace"
source = "none"
keywords = "pace"
criteria = "Better."

[[variants]]
name = "slow"
title = "A slow pace"
hypothesis = "h"
method = "m"
flags = [{ name = "rate", default = 0.01, value = 0.004 }]

[[variants]]
name = "quick"
answers = ["theory"]
title = "A quick pace"
hypothesis = "h"
method = "m"
flags = [{ name = "rate", default = 0.01, value = 0.02 }]
"""


@pytest.fixture
def pace(tmp_path: Path) -> list[str]:
    """Return the words that name a catalogue with one idea: its first variant harms, and the second answers that."""
    (tmp_path / "catalogue" / "pace").mkdir(parents=True)
    (tmp_path / "catalogue" / "pace" / "idea.toml").write_text(PACE)
    return ["--researcher", f"catalogue:{tmp_path / 'catalogue'}"]


@contextmanager
def cut_after(folder: Path, runs: int, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Give a campaign that has trained so many runs, by its id and its process."""
    command = [sys.executable, "-m", "agents.cli", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        name = process.stderr.readline().split()[1]
        for _ in range(runs):
            next(line for line in process.stderr if line.startswith("run "))
        yield name, process
        assert "Traceback" not in process.stderr.read()


def test_wins_stack_and_a_killed_night_goes_on(plain: Path, pace: list[str]) -> None:
    """Stopped in its first session and killed in its third, it ends with both wins, and trains nothing twice.

    The second win has the first in both arms. What failed before it goes on with its next version, not with the same.
    """
    arguments = [*queue(plain, LOWER, {"idea": "pace"}, INTERCEPT), "--turbo", *pace]
    with cut_after(plain, 5, *arguments) as (name, process):
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 5
    record = plain / ".circle" / "campaigns" / name / "journal.sqlite"
    rewrite_journal(record, lambda kind, body: kind != "session")  # as if killed between the session and its record
    resume = ["campaign", "--resume", name, "--json"]
    with cut_after(plain, 18, *resume) as (_, process):
        assert circle(plain, *resume).returncode == 1, "another process has it"
        os.killpg(process.pid, signal.SIGKILL)
    before = {log: log.stat().st_mtime_ns for log in (plain / ".circle").glob("sessions/*/runs/*.log")}
    done = circle(plain, *resume)
    assert done.returncode == 0, done.stderr
    again = {log.name.partition(".")[0] for log, when in before.items() if log.stat().st_mtime_ns != when}
    assert len(before) > 20 and len(again) <= 2, "no run but those that were cut short is trained again"
    night = json.loads(done.stdout)
    assert len(night["wins"]) == 2, done.stdout
    first, second = night["wins"]
    assert (first["title"], second["title"]) == ("An intercept", "A quick pace")
    assert night["confirmations"] == {"used": 2, "allowed": 15, "error": 0.05}
    assert night["stacked"]["low"] > first["effect"] and night["stacked"]["mean"] > second["effect"]
    runs = journal(plain, second["session"], "run")
    assert all("constant=true" in run["flags"] for run in runs)
    bases = {run["commit"] for run in runs if run["stage"] == "confirm" and run["arm"] == "baseline"}
    assert bases == {first["commit"]}
    assert git(plain, "rev-parse", night["branch"]).strip() == second["commit"]
    assert git(plain, "merge-base", "--is-ancestor", first["commit"], night["branch"]) == ""
    titles = [old["title"] for old in night["tried"]]
    assert titles == ["A lower rate", "A slow pace", "An intercept", "A quick pace"]
    assert shown(plain, night["tried"][1]["session"])["conclusion"].startswith("Better ideas of the campaign")
    paper = git(plain, "show", f"{second['branch']}:docs/research/papers/pace.md")
    assert "On in both arms, as won before: `constant=True`." in paper
    assert len(list((plain / ".circle" / "sessions").iterdir())) == 4
    report = (plain / ".circle" / "campaigns" / name / "report.md").read_text()
    assert "2 wins, 2 of 15 confirmations" in report and "--constant true" in report
    once_more = circle(plain, *resume)
    assert once_more.returncode == 0 and json.loads(once_more.stdout)["wins"] == night["wins"]
    assert git(plain, "status", "--porcelain") == "" and git(plain, "branch", "--show-current").strip() == "main"


@pytest.mark.long
def test_ideas_are_screened_side_by_side(plain: Path) -> None:
    """After the first, which finds the floor, two are branches at once; stopped in them, the night goes on and wins.

    Neither is screened twice, and what is decided is what one after the other gives.
    """
    arguments = [*queue(plain, LOWER, HIGHER, INTERCEPT), "--turbo", "--at-once", "2"]
    command = [sys.executable, "-m", "agents.cli", *arguments]
    with subprocess.Popen(
        command, cwd=plain, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        name = process.stderr.readline().split()[1]
        gates = (line for line in process.stderr if "gate" in line)
        assert [next(gates) for _ in range(2)]  # of the first idea, and of one of the branches
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 5
    sessions = json.loads(circle(plain, "list", "--json").stdout)
    assert [session["status"] for session in sessions].count("stopped") == 3  # the first is held, for what comes next
    ended = circle(plain, "campaign", "--resume", name, "--json")
    assert ended.returncode == 0, ended.stderr
    told = [line.partition(" ")[0] for line in ended.stderr.splitlines() if " V1 " in line]
    assert len(set(told)) == 2, "what was stopped side by side goes on side by side"
    shown_ = json.loads(ended.stdout)
    assert [win["title"] for win in shown_["wins"]] == ["An intercept", "A higher rate"]
    for session in json.loads(circle(plain, "list", "--json").stdout):
        keys = [run["key"] for run in journal(plain, session["id"], "run")]
        assert len(keys) == len(set(keys))


@pytest.mark.long
def test_the_error_budget_ends_the_night(plain: Path, tmp_path: Path) -> None:
    """One confirmation is bought, and goes to the surest; the other idea is dropped, and told as promising."""
    note = f"cp /proc/self/environ {tmp_path / 'note'}"
    limits = ["--error", "0.004", "--minimum-effect", "9", "--notify", note]
    ended = circle(plain, *queue(plain, HIGHER, INTERCEPT), *limits)
    assert ended.returncode == 3, ended.stderr
    night = json.loads(ended.stdout)
    assert night["confirmations"] == {"used": 1, "allowed": 1, "error": 0.004}
    assert {old["title"]: old["ended"] for old in night["tried"]} == {
        "An intercept": "refused",
        "A higher rate": "dropped",
    }
    assert [old["title"] for old in night["next"]["promising"]] == ["An intercept", "A higher rate"]
    assert "confirmations of the night are used" in night["spent"]
    confirmed = [run for old in night["tried"] for run in journal(plain, old["session"], "run") if run["hidden"]]
    assert {run["stage"] for run in confirmed} == {"confirm"} and len(confirmed) == 32
    assert b"CIRCLE_EVENT=end" in (tmp_path / "note").read_bytes()
    refused = circle(plain, *queue(plain, HIGHER), "--error", "0.003")
    assert refused.returncode == 2 and "buys no confirmation" in refused.stderr


def test_a_night_without_room_trains_nothing(plain: Path) -> None:
    """Runs and hours are reserved before they are spent; what was not begun is named."""
    for limit in (["--max-runs", "20"], ["--hours", "0.001"]):
        ended = circle(plain, *queue(plain, HIGHER), *limit)
        night = json.loads(ended.stdout)
        assert ended.returncode == 3 and night["cost"]["runs"] == 0 and night["next"]["left"] == ["A higher rate"]
        assert "the next step may take" in night["spent"]


@pytest.mark.long
def test_what_waits_for_a_person_is_left_waiting(plain: Path, pace: list[str], tmp_path: Path) -> None:
    """The rest goes on, the person is told once, and what they approve goes on with the night, to its next version."""
    notes = tmp_path / "notes"
    line = "os.environ['CIRCLE_EVENT'] + ' ' + os.environ['CIRCLE_ID'] + chr(10)"
    (tmp_path / "tell.py").write_text(f"import os\nopen({str(notes)!r}, 'a').write({line})")
    tell = ["--notify", f"{sys.executable} {tmp_path / 'tell.py'}"]
    paused = circle(plain, *queue(plain, {"idea": "pace"}, LOWER), *pace, *tell)
    assert paused.returncode == 4, paused.stderr
    night = json.loads(paused.stdout)
    (waiting,) = night["next"]["waiting"]
    name = waiting["session"]
    assert [old["title"] for old in night["tried"]] == ["A lower rate"]
    resume = ["campaign", "--resume", night["id"], "--json", *tell]
    assert circle(plain, *resume).returncode == 4 and notes.read_text() == f"approval {name}\n"
    sha = shown(plain, name)["versions"][0]["diff_sha256"]
    approved = circle(plain, "approve", name, "--sha", sha)
    assert approved.returncode == 5 and "waits for its next version" in shown(plain, name)["held"]
    assert shown(plain, name)["status"] == "stopped" and circle(plain, "resume", name).returncode == 5
    assert circle(plain, *resume).returncode == 4
    first, second = shown(plain, name)["versions"]
    assert (first["verdict"]["cause"], second["plan"]["title"]) == ("theory", "A quick pace")
    assert second["approval"] is None and notes.read_text() == f"approval {name}\n" * 2


@pytest.mark.long
def test_a_diff_of_an_earlier_baseline_is_not_approved(plain: Path, pace: list[str]) -> None:
    """What waited when another idea won comes again on top of the win, and the old session says so."""
    paused = circle(plain, *queue(plain, {"idea": "pace"}, INTERCEPT), *pace)
    assert paused.returncode == 4, paused.stderr
    night = json.loads(paused.stdout)
    (waiting,), (win,) = night["next"]["waiting"], night["wins"]
    sessions = [path.name for path in (plain / ".circle" / "sessions").iterdir()]
    (old,) = set(sessions) - {waiting["session"], win["session"]}
    sha = shown(plain, old)["versions"][0]["diff_sha256"]
    refused = circle(plain, "approve", old, "--sha", sha)
    assert refused.returncode == 1 and "has a win since" in refused.stderr
    sha = shown(plain, waiting["session"])["versions"][0]["diff_sha256"]
    assert circle(plain, "approve", waiting["session"], "--sha", sha).returncode == 5


@pytest.mark.long
def test_what_the_runs_do_not_confirm_one_by_one_goes_together(plain: Path) -> None:
    """Two are held, and one confirmation of both is what the limit has room for; no third idea is begun before it."""
    ideas = [HIGHER, INTERCEPT, LOWER]
    ended = circle(plain, *queue(plain, *ideas), "--turbo", "--max-runs", "140")
    assert ended.returncode == 0, ended.stderr
    night = json.loads(ended.stdout)
    (win,) = night["wins"]
    assert win["title"] == "Bundle of An intercept, A higher rate" and night["cost"]["runs"] <= 140
    assert {flag["name"] for flag in win["flags"]} == {"rate", "constant"} and night["confirmations"]["used"] == 1
    assert [old["title"] for old in night["tried"]][:3] == ["A higher rate", "An intercept", win["title"]]
    assert git(plain, "rev-parse", night["branch"]).strip() == win["commit"]
    assert {part["reading"] for part in win["ablations"]} <= {"mechanism", "open"} and len(win["ablations"]) == 2
    assert not {old["title"] for old in night["next"]["promising"]} & {"An intercept", "A higher rate"}
    report = (plain / ".circle" / "campaigns" / night["id"] / "report.md").read_text()
    assert "without An intercept: it lacks" in report
    names = [path.name for path in (plain / ".circle" / "sessions").iterdir()]
    floors = [run for name in names for run in journal(plain, name, "run") if run["stage"] == "floor"]
    assert len(floors) == 8 * len({run["commit"] for run in floors}), "a night measures each floor once"


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


def version(home: Home, changes: Any, flag: str) -> Version:
    diff = "".join(diff_of(home.target, path, change) for path, change in changes)
    base = home.workspace.head()
    return Version(
        n=1,
        parent=None,
        plan=Plan(
            title=flag, hypothesis="h", method="m", flags=(Flag(name=flag, default=False, value=True),), criteria="c"
        ),
        patch=home.workspace.commit_version(f"circle/test/{flag}", base, diff, flag),
    )


def test_changes_are_joined_and_conflicts_are_named(home: Home) -> None:
    """Declarations at one place of the flag file are all kept; two changes of one line are not guessed at."""
    one = version(home, CONSTANT, "constant")
    two = version(home, (QUICK[0],), "quick")
    other = version(home, QUICK, "hasty")
    target, base = load_target(home.target), home.workspace.head()
    members = [Member("2", other, 0.05), Member("1", two, 0.1), Member("0", one, 0.2)]
    made = bundle_of(home.workspace, target, base, members)
    assert made.members == ("constant", "quick") and made.ideas == ("0", "1") and list(made.left_out) == ["hasty"]
    assert "model.py" in made.left_out["hasty"]
    commit = home.workspace.commit_version("circle/test/joined", base, made.diff, "Joined").commit
    settings = home.workspace.read(commit, "settings.py") or ""
    assert "constant: bool" in settings and "quick: bool" in settings and "<<<" not in settings
    assert bundle_of(home.workspace, target, base, [Member("0", one, 0.2), Member("1", one, 0.1)]).members == ()
    with pytest.raises(DiffRefused, match=r"settings\.py"):
        home.workspace.join(base, [found.patch.commit for found in (one, two) if found.patch], lambda path: False)


def test_a_diff_is_carried_over_the_wins_before_it(home: Home) -> None:
    """What it makes on the person's commit it makes on the win; where both change a line, it is refused."""
    origin = home.workspace.head()
    won = version(home, CONSTANT, "constant").patch
    assert won is not None
    diffs = ["".join(diff_of(home.target, path, change) for path, change in some) for some in ((QUICK[0],), QUICK)]
    with pytest.raises(DiffRefused):
        home.workspace.check(won.commit, diffs[0])
    carried = home.workspace.carry(diffs[0], origin, won.commit, lambda path: path == "settings.py")
    commit = home.workspace.commit_version("circle/test/carried", won.commit, carried, "Carried").commit
    settings = home.workspace.read(commit, "settings.py") or ""
    assert "constant: bool" in settings and "quick: bool" in settings
    assert home.workspace.carry(carried, origin, won.commit, lambda path: False) == carried
    for diff, base in ((diffs[1], won.commit), ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", origin)):
        with pytest.raises(DiffRefused):
            home.workspace.carry(diff, origin, base, lambda path: path == "settings.py")


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
