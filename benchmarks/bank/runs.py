"""The runs of the bank: every arm at every seed, in a tree of its own, one JSON line a run.

`train_all` may be killed and called again: it trains what the file has not yet.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import IO, Any

from agents.workspace import GitWorkspace
from benchmarks.bank.arms import Arm, arms
from benchmarks.lines import read_runs
from benchmarks.shapes import ROOT
from trainer.config import PRESETS

TOGETHER = 4
"""Seeds that one process trains."""
TIMED, BRIEF = 2, 0.3
"""How often each arm is timed beside the base, and the share of a run's tokens that this takes."""
WORKER = Path(__file__).with_name("train_arm.py")


@dataclass(frozen=True)
class Task:
    """Some seeds of one arm."""

    arm: Arm
    seeds: tuple[int, ...]


class Nursery:
    """Where the bank's runs are trained: `folder` holds a clone of this repository, a tree an arm, and the data."""

    def __init__(self, folder: Path, preset: str) -> None:
        self.folder, self.preset, self.data = folder, preset, folder / f"data-{preset}"
        clone = folder / "clone"
        if not clone.exists():
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        subprocess.run(["git", "-C", str(clone), "pull", "-q", "--ff-only"], check=True)
        self.workspace, self.trees = GitWorkspace(clone, folder / "trees"), threading.Lock()
        self.base = self.workspace.head()
        if not self.data.exists():
            prepare = ["-m", "trainer.data", "--preset", preset, "--output", str(self.data)]
            subprocess.run([sys.executable, *prepare], cwd=self.workspace.export(self.base), check=True)

    def tree(self, arm: Arm) -> Path:
        """The folder with the arm's code. Raises DiffRefused."""
        with self.trees:
            patch = self.workspace.commit_version(f"bank/{arm.name.replace(' ', '-')}", self.base, arm.diff, arm.name)
            return self.workspace.export(patch.commit)

    def perform(self, task: Task) -> Iterator[dict[str, Any]]:
        """Train the seeds one after the other; each run as soon as it has ended. Raises CalledProcessError."""
        arm, tree = task.arm, self.tree(task.arm)
        tokens = round(PRESETS[self.preset].train_tokens * arm.stretch)
        seeds = [str(seed + arm.seed) for seed in task.seeds]
        command = [sys.executable, "-P", str(WORKER), str(self.data), self.preset, str(tokens)]
        command += [json.dumps(dict(arm.flags)), *seeds]
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        log = self.folder / f"{arm.name.replace('/', '-')}.log"
        with (
            log.open("a") as complaints,
            subprocess.Popen(
                command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=complaints, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                run = json.loads(line)
                yield {"arm": arm.name, "kind": arm.kind, **run, "seed": run["seed"] - arm.seed, "commit": self.base}
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    def time_side_by_side(self, *some: Arm) -> list[float]:
        """The CPU seconds that arms take that are trained at the same time: the machine slows all alike."""
        with ThreadPoolExecutor(len(some)) as pool:
            return list(pool.map(self._seconds, some))

    def _seconds(self, arm: Arm) -> float:
        (run,) = self.perform(Task(arm, (1,)))
        return float(run["cpu_seconds"])


def tasks(preset: str, seeds: int, done: set[tuple[str, int]], ideas: Sequence[str] = ()) -> Iterator[Task]:
    """What is missing of these ideas in their order, or of all, arm after arm: a kill leaves a bank of fewer ideas."""
    for arm in sorted(arms(preset), key=lambda arm: _place(arm, ideas)):
        for first in range(1, seeds + 1, TOGETHER) if _place(arm, ideas) <= len(ideas) else ():
            wanted = range(first, min(first + TOGETHER, seeds + 1))
            missing = tuple(seed for seed in wanted if (arm.name, seed) not in done)
            if missing:
                yield Task(arm, missing)


def _place(arm: Arm, ideas: Sequence[str]) -> int:
    """Where an arm's turn comes: bases and nulls first, cheats with the last idea, what was not asked for past it."""
    idea = arm.name.partition("/")[0]
    if arm.kind in ("base", "null") or not ideas:
        return 0
    if arm.kind == "cheat":
        return len(ideas)
    return 1 + ideas.index(idea) if idea in ideas else len(ideas) + 1


def train_all(
    folder: Path, preset: str, seeds: int, workers: int, ideas: Sequence[str], kept: Sequence[dict[str, Any]]
) -> None:
    """Append to FOLDER/<preset>.jsonl every run that is neither there nor among those that were `kept` before."""
    folder.mkdir(parents=True, exist_ok=True)
    file, nursery = folder / f"{preset}.jsonl", Nursery(folder.resolve(), preset)
    left = list(tasks(preset, seeds, {(run["arm"], run["seed"]) for run in (*kept, *read_runs(file))}, ideas))
    print(f"{sum(len(task.seeds) for task in left)} runs are missing in {file}", flush=True)
    writing = threading.Lock()
    with file.open("a", encoding="utf-8") as lines, ThreadPoolExecutor(workers) as pool:
        for done in pool.map(lambda task: _append(nursery, task, lines, writing), left):
            print(*done, flush=True)


def time_all(folder: Path, preset: str) -> None:
    """Append to FOLDER/<preset>-times.jsonl how long each trained arm takes, and the base that ran beside it.

    Losses do not depend on what else the machine does; CPU seconds do, by a factor of two, and for both alike.
    """
    file = folder / f"{preset}-times.jsonl"
    trained = {run["arm"] for run in read_runs(folder / f"{preset}.jsonl")}
    timed = Counter(pair["arm"] for pair in read_runs(file))
    base, *others = (arm for arm in arms(preset) if arm.name in trained and arm.kind != "null")
    nursery = Nursery(folder.resolve(), preset)
    with file.open("a", encoding="utf-8") as lines:
        for again, arm in product(range(TIMED), (arm for arm in others if arm.name != "stretched")):
            if timed[arm.name] > again:
                continue
            beside, seconds = nursery.time_side_by_side(replace(base, stretch=BRIEF), replace(arm, stretch=BRIEF))
            lines.write(json.dumps({"arm": arm.name, "seconds": seconds, "beside": beside}) + "\n")
            lines.flush()
            print(f"{arm.name} takes {seconds / beside:.3f} of the base's CPU seconds", flush=True)


def _append(nursery: Nursery, task: Task, lines: IO[str], writing: threading.Lock) -> Sequence[object]:
    for run in nursery.perform(task):
        with writing:
            lines.write(json.dumps(run) + "\n")
            lines.flush()
    return task.arm.name, *task.seeds
