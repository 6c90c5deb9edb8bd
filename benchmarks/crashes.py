"""kill -9 at every crash point of a session: does it end as the undisturbed one?

    python -m benchmarks.crashes [--every] [--doubles N] [--workers N]

A session on the plain target loses with V1, has V2 rejected by a person, and wins with V3. Its commands (start,
approve, reject, approve) list the crash points that they come to (agents/crashpoint.py). Each point is tried at its
first and its last visit, with --every at all: the command is killed there, the session resumed to its end,
and the end compared with the undisturbed one's: status, commits, diffs, verdicts, pairs, entries of the journal by
their kinds, each branch's commits and documents, but for times; and the target itself counts how often each run really
was started. Double kills are drawn by chance: the resume is killed, too, at one of its own points.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cli import main as main_of_circle
from agents.leaves import leaves
from tests.commands import TARGETS, analysis, change, git, plan, review, revision

_LOWER, _BETTER = plan("A lower rate", ("rate", 0.01, 0.003)), plan("An intercept", ("intercept", False, True))
_SCRIPT = [_LOWER, change(), review(), analysis("Slow."), revision(), _BETTER, change(), review()]
_SCRIPT += [_BETTER, change(), review(), analysis()]
_DECISIONS = {1: ["approve"], 2: ["reject", "--comment", "The intercept alone, please."], 3: ["approve"]}
_START = ["start", "--no-sandbox", "--secret", "5eed", "--fresh-baseline", "--no-memory", "Rate"]
_TIMES = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?|[\d.]+ (s|seconds|minutes|min|hours|h)\b|\d+ runs")
_MEASURED = re.compile("ratio|equal time")
_TIMED = ("run", "elapsed", "timing", "stretched")


@dataclass(frozen=True)
class Trial:
    """A command, by its number, that is killed at a point; with `again` the resume is killed, too, at its n-th."""

    command: int
    point: str
    again: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: what differs from the undisturbed end, and how many runs were trained twice.

    A command may not come to its point, for a session that is timed anew may need fewer runs: then nothing was killed.
    """

    killed: bool
    differences: tuple[str, ...]
    twice: int


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class World:
    """A folder with the target, its sessions, and the file in which the target counts its trainings."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.target, self.starts = folder, folder / "plain", folder / "starts"

    @classmethod
    def fresh(cls, folder: Path) -> World:
        """Make the plain target, counting, and the script of its researcher."""
        world = cls(folder)
        shutil.copytree(TARGETS / "plain", world.target)
        train = world.target / "train.py"
        count = (
            "    run = Path(configs.output_dir)\n    (run.parents[5] / 'starts').open('a').write(f'{run.name}\\n')\n"
        )
        text = train.read_text().replace("    configs = parse()\n", f"    configs = parse()\n{count}")
        train.write_text(text.replace("if step % 10 == 0", "if step == steps"))  # one line: no step's time is measured
        replies = [{"skill": skill, "reply": reply} for skill, reply in _SCRIPT]
        (world.target / "script.json").write_text(json.dumps({"replies": replies}))
        git(world.target, "init", "-q", "-b", "main")
        git(world.target, "add", "-A")
        git(world.target, "commit", "-qm", "The training code")
        return world

    def copied(self, folder: Path) -> World:
        """Return a world that stands as this one."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return World(folder)

    @property
    def session(self) -> str:
        """The id of its session, or nothing."""
        found = [file.parent.name for file in (self.target / ".circle" / "sessions").glob("*/session.json")]
        return found[0] if found else ""

    def circle(self, *words: str, **environment: str) -> Done:
        """Run a command of circle here, in a process that is forked from this one: the libraries are loaded already."""
        out, errors = self.folder / "out", self.folder / "errors"
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number, file in ((1, out), (2, errors)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            os.chdir(self.target)
            os.environ.update({"CIRCLE_RESEARCHER": "scripted:script.json"} | environment)
            sys.argv = ["circle", *words]
            os._exit(_exit_code())
        _, status = os.waitpid(pid, 0)
        return Done(os.waitstatus_to_exitcode(status), out.read_text(), errors.read_text())

    def shown(self) -> dict[str, Any]:
        """Return the session as `circle show --json` prints it; where it cannot be read, why."""
        done = self.circle("show", self.session, "--json")
        document: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"unread": done.stderr}
        return document

    def command(self, number: int) -> list[str]:
        """The words of the session's n-th command: its start, or the n-th decision, on the diff that waits."""
        if number == 0:
            return _START
        sha256 = self.shown()["versions"][-1]["diff_sha256"]
        verb, *words = _DECISIONS[number]
        return [verb, self.session, "--sha", sha256, *words]

    def finish(self) -> Done:
        """Do what is left to do, as a person would who finds the session as it is; return how the last of it ended."""
        done = self.circle("resume", self.session) if self.session else Done(0, "", "")
        for _ in range(12):
            if done.returncode not in (0, 3, 4, 5):
                break
            shown = self.shown() if self.session else {"status": "none"}
            if shown.get("status") in ("victory", "concluded"):
                break
            waits = shown.get("status") == "awaiting_approval"
            resume = ["resume", self.session] if self.session else _START
            done = self.circle(*(self.command(len(shown["versions"])) if waits else resume))
        return done

    def end(self) -> dict[str, Any]:
        """What two ends are compared by: all but times, and how many runs a stage took that measures them."""
        shown, name = self.shown(), self.session
        if "unread" in shown:
            return shown
        with sqlite3.connect(self.target / ".circle" / "sessions" / name / "journal.sqlite") as database:
            entries = database.execute("SELECT kind, body FROM entries").fetchall()
        refs = git(self.target, "for-each-ref", "--format=%(refname)", "refs/heads/circle").split()
        stages = Counter(json.loads(body)["stage"] for kind, body in entries if kind == "run")
        return {
            "status": shown["status"],
            "versions": [_plain(version) for version in shown["versions"]],
            "floor": shown["baseline"] and [shown["baseline"][key] for key in ("mean", "std", "n")],
            "journal": Counter(kind for kind, _ in entries if kind not in _TIMED),
            "runs": {stage: count for stage, count in stages.items() if stage not in _TIMED},
            "refs": {ref.replace(name, "ID"): self._branch(ref, name) for ref in refs},
        }

    def _branch(self, ref: str, name: str) -> list[Any]:
        """How many commits a branch has, which files they change, and the lines of its documents."""
        files = git(self.target, "diff", "--name-only", "main", ref).split()
        texts = (git(self.target, "show", f"{ref}:{file}") for file in files if file.endswith(".md"))
        lines = [line.replace(name, "ID") for text in texts for line in text.splitlines() if not _MEASURED.search(line)]
        commits = git(self.target, "rev-list", "--count", f"main..{ref}")
        return [commits, files, [_TIMES.sub("T", line) for line in lines]]

    def trained(self) -> Counter[str]:
        """How often each run was really started."""
        return Counter(self.starts.read_text().split()) if self.starts.exists() else Counter()


class Crashes:
    """The undisturbed session, the worlds before each of its commands, and the points that these come to."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        world, self.worlds, self.points = World.fresh(scratch / "undisturbed"), [], []
        for number in range(len(_DECISIONS) + 1):
            self.worlds.append(world.copied(scratch / f"before-{number}"))
            listing = scratch / f"points-{number}"
            world.circle(*world.command(number), CIRCLE_CRASHPOINTS=str(listing))
            self.points.append(listing.read_text().splitlines())
        self.undisturbed = world.end()
        assert self.undisturbed["status"] == "victory", self.undisturbed["status"]

    def trials(self, *, every: bool) -> list[Trial]:
        """Each point at its first and its last visit in all of the session; or at all of its visits."""
        visits = [Trial(number, point) for number, points in enumerate(self.points) for point in points]
        if every:
            return visits
        first = {_name(trial.point): trial for trial in reversed(visits)}
        last = {_name(trial.point): trial for trial in visits}
        return list(dict.fromkeys(trial for name in first for trial in (first[name], last[name])))

    def doubles(self, count: int) -> list[Trial]:
        """Kills by chance, each followed by one of the resume."""
        chance = random.Random(8)
        places = [(number, point) for number, points in enumerate(self.points) for point in points]
        return [Trial(*place, chance.randrange(1, 120)) for place in chance.sample(places, count)]

    def tried(self, trial: Trial) -> Outcome:
        """Kill, resume, and compare."""
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            world = self.worlds[trial.command].copied(Path(folder) / "world")
            killed = world.circle(*world.command(trial.command), CIRCLE_CRASH_AT=trial.point)
            reached = killed.returncode == -signal.SIGKILL or _of_a_watcher(trial.point)
            if trial.again and world.session:
                world.circle("resume", world.session, CIRCLE_CRASH_AT=str(trial.again))
            unread = world.shown().get("unread", "") if world.session else ""
            done = world.finish()
            twice = 0 if _of_a_watcher(trial.point) else sum(count - 1 for count in world.trained().values())
            found = [*filter(None, [unread]), *differences(self.undisturbed, world.end())]
            return Outcome(reached, (*found, done.stderr) if found else (), twice)

    def resume_seconds(self, *, lost: bool) -> float:
        """The median time of a resume that finds all done, start-up and all; with its checkpoint `lost`, if so."""
        seconds = []
        for _ in range(5):
            with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
                world = self.worlds[-1].copied(Path(folder) / "world")
                for file in world.target.glob(".circle/sessions/*/checkpoints.sqlite*") if lost else ():
                    file.unlink()
                began = time.monotonic()
                assert world.circle("resume", world.session).returncode == 4
                seconds.append(time.monotonic() - began)
        return statistics.median(seconds)


def _exit_code() -> int:
    """Run the command line as its own process would; return its exit code."""
    try:
        main_of_circle()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _name(point: str) -> str:
    """A point without its number; a watcher's, without its run's key, too."""
    return re.sub(r"^[0-9a-f]{16}\.\d", "seen", point.rpartition(" #")[0])


def _of_a_watcher(point: str) -> bool:
    return _name(point).startswith("seen")


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Give the leaves of two ends that are not the same, with both sides."""
    old, new = (leaves(json.loads(json.dumps(end))) for end in (then, now))
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield f"{path}: {new.get(path)!r}, not {old.get(path)!r}"


def _plain(version: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a version."""
    approval, verdict, experiment = version["approval"], version["verdict"], version["experiment"]
    return {
        **{key: version[key] for key in ("n", "parent", "commit", "diff_sha256", "flags", "plan", "review")},
        "approval": approval and [approval[key] for key in ("decision", "sha256", "comment")],
        "outcome": verdict and [verdict[key] for key in ("outcome", "cause", "lessons")],
        "pairs": experiment and experiment["pairs"],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--doubles", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    told = parser.parse_args()
    import agents.graph  # loaded before anything is forked
    import agents.laboratory.local  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        crashes = Crashes(Path(scratch))
        _print(crashes, told.every, told.doubles, told.workers)


def _print(crashes: Crashes, every: bool, doubles: int, workers: int) -> None:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        for title, trials in (("single", crashes.trials(every=every)), ("double", crashes.doubles(doubles))):
            outcomes = []
            for trial, outcome in zip(trials, pool.map(crashes.tried, trials), strict=True):
                outcomes.append(outcome)
                print(f"{len(outcomes)} of {len(trials)}", end="\r", file=sys.stderr, flush=True)
                for difference in outcome.differences:
                    print(f"{trial}: {difference}", flush=True)
                if outcome.twice:
                    print(f"{trial}: {outcome.twice} trained twice", flush=True)
            wrong = sum(bool(outcome.differences) for outcome in outcomes)
            twice = sum(outcome.twice for outcome in outcomes)
            reached = [trial for trial, outcome in zip(trials, outcomes, strict=True) if outcome.killed]
            points = len({_name(trial.point) for trial in reached})
            print(f"{title}: {len(reached)} kills at {points} points: wrong ends {wrong}, trained twice {twice}")
        found, lost = crashes.resume_seconds(lost=False), crashes.resume_seconds(lost=True)
        print(f"resume: {found:.2f} s, start-up and all; {lost:.2f} s with the checkpoint made again from the journal")


if __name__ == "__main__":
    main()
