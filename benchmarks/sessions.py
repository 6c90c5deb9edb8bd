"""Real sessions of the research loops: the code that plays on the truth bank, where every draw is a training run.

    python -m benchmarks.sessions --train FOLDER [--preset smoke --sessions 3 --budget 100 --workers 2]

A session gives every loop all ideas of the catalogue in one random order. A loop's champion is the base with the diffs
of what it kept, joined as a campaign joins them; what does not apply is not proposed. At its end a neutral script
trains the champion and the original base at 16 fresh seeds. The file of runs is also what a killed study goes on from:
no run is trained twice, in whichever session it is asked for. So sessions differ by the order of the ideas, not by
their seeds; and what compute buys, of the first base, stands for a base that is trained as long.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np

from agents.errors import DiffRefused
from agents.nodes.timing import STRETCH
from agents.researchers.catalogue import Catalogue
from agents.statistics import interval
from benchmarks.bank.arms import Arm, arms
from benchmarks.bank.player import HIDDEN, REPORTED, Player, play
from benchmarks.bank.runs import TIMED, TOGETHER, Nursery, Task
from benchmarks.bank.truth import SPLITS, Change, Floats, Idea, Truth
from benchmarks.lines import read_runs
from benchmarks.loops import LOOPS
from benchmarks.verdict import table

FRESH, FIRST_FRESH = 16, 10_001
FAILED = 20.0
"""The loss, in nats, of a run that ended without one."""
HEAD = ["session", "loop", "runs", "claims", "they say, in sum", "true gain [95 %]", "time", "gain at equal time"]
State = tuple[str, ...]
NOTHING = np.zeros((1, len(SPLITS)))


def queue() -> list[Idea]:
    """Every idea of the catalogue, its gains unknown."""
    return [
        Idea(
            entry.name,
            tuple(
                Change(
                    f"{entry.name}/{variant.name}",
                    "idea",
                    NOTHING,
                    answers=variant.answers,
                    ablations=len(variant.ablations),
                )
                for variant in entry.variants
            ),
        )
        for entry in Catalogue().entries
    ]


class School:
    """Where states of the trainer are trained: a state is the names of the arms that are in it, in order."""

    def __init__(self, folder: Path, preset: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.nursery = Nursery(folder.resolve(), preset)
        self.arms = {arm.name: arm for arm in arms(preset)}
        self.file, self.writing, self.joining = folder / f"{preset}-states.jsonl", threading.Lock(), threading.Lock()
        self.training: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.runs = {(run["arm"], run["seed"]): run for run in read_runs(self.file)}
        self.known: dict[State, Arm | None] = {}
        self.ratios: dict[tuple[str, str], float] = {}

    def arm(self, state: State) -> Arm | None:
        """The state as one arm; None where its diffs do not apply together."""
        with self.joining:
            if state not in self.known:
                try:
                    self.known[state] = self._join(state)
                except DiffRefused:
                    self.known[state] = None
            return self.known[state]

    def train(self, asked: Sequence[tuple[Arm, Sequence[int]]]) -> list[list[dict[str, Any]]]:
        """The runs of each arm at its seeds; what is on file is not trained again."""
        for arm, seeds in asked:
            with self.training[arm.name]:
                missing = [seed for seed in seeds if (arm.name, seed) not in self.runs]
                for first in range(0, len(missing), TOGETHER):
                    self._perform(Task(arm, tuple(missing[first : first + TOGETHER])))
        return [[self.runs[arm.name, seed] for seed in seeds] for arm, seeds in asked]

    def slowdown(self, old: Arm, new: Arm) -> float:
        """The geometric mean of two pairs' ratios of CPU seconds; the base is no slower than itself."""
        if old.name == new.name:
            return 1.0
        if (old.name, new.name) not in self.ratios:
            pairs = [self.nursery.time_side_by_side(old, new) for _ in range(TIMED)]
            self.ratios[old.name, new.name] = geometric_mean(after / before for before, after in pairs)
        return self.ratios[old.name, new.name]

    def _perform(self, task: Task) -> None:
        for run in self.nursery.perform(task):
            with self.writing, self.file.open("a", encoding="utf-8") as lines:
                self.runs[run["arm"], run["seed"]] = run
                lines.write(json.dumps(run) + "\n")

    def _join(self, state: State) -> Arm:
        workspace, base = self.nursery.workspace, self.nursery.base
        found = [self.arms[name] for name in state]
        flags = dict(flag for arm in found for flag in arm.flags)
        if len(flags) < sum(len(arm.flags) for arm in found):
            raise DiffRefused("Two changes set the same flag.")
        commits = [
            workspace.commit_version(f"bank/{arm.name}", base, arm.diff, arm.name).commit for arm in found if arm.diff
        ]
        diff = workspace.join(base, commits, lambda path: path == "trainer/config.py")
        name = "+".join(state) if len(state) < 2 else f"state-{hashlib.sha256(repr(state).encode()).hexdigest()[:12]}"
        return replace(self.arms["base"], name=name or "base", diff=diff, flags=tuple(flags.items()))


@dataclass
class Trained(Player):
    """A loop whose draws are training runs. A change sees its own seeds in order on each champion."""

    school: School = field(kw_only=True)
    champion: State = ()
    seen: dict[tuple[State, str], int] = field(default_factory=dict)

    @property
    def kappa(self) -> float:
        """What compute buys the base, of four pairs."""
        arm = self.school.arms["stretched"]
        (base, longer) = self.school.train([(self._arm(()), range(1, 5)), (arm, range(1, 5))])
        return float((_losses(base) - _losses(longer))[:, HIDDEN].mean()) / math.log(STRETCH)

    def fresh(self) -> Iterator[Idea]:
        """The ideas that are not in the champion already, with the variants that apply to it."""
        for idea in super().fresh():
            fitting = tuple(change for change in idea.changes if self.school.arm(self._with(change)))
            if fitting:
                yield replace(idea, changes=fitting)

    def keep(self, change: Change) -> None:
        """Put a change into the champion."""
        super().keep(change)
        self.champion = self._with(change)

    def base(self, runs: int) -> Floats:
        """The champion's losses at its first seeds."""
        first = self.seen.get((self.champion, ""), 0)
        self.seen[self.champion, ""] = first + runs
        (found,) = self.school.train([(self._arm(self.champion), range(first + 1, first + runs + 1))])
        return _losses(found)

    def pairs(self, change: Change, runs: int) -> Floats:
        """The gains over the champion at the next seeds of this change."""
        seeds = self._seeds(change, runs)
        old, new = self.school.train([(self._arm(self.champion), seeds), (self._arm(self._with(change)), seeds)])
        return _losses(old) - _losses(new)

    def stretched(self, runs: int) -> Floats:
        """What the champion gains where it trains longer."""
        arm = self._arm(self.champion)
        longer = replace(arm, name=f"{arm.name} stretched", stretch=STRETCH)
        old, new = self.school.train([(arm, range(1, runs + 1)), (longer, range(1, runs + 1))])
        return _losses(old) - _losses(new)

    def against_champion(self, change: Change) -> float:
        """The reported gain over the champion's run at the first seed."""
        self.seen.setdefault((self.champion, change.name), 1)
        old, new = self.school.train([(self._arm(self.champion), (1,)), (self._arm(self._with(change)), (1,))])
        return float((_losses(old) - _losses(new))[0, REPORTED])

    def losses(self, change: Change, runs: int) -> Floats:
        """The losses of a change at its next seeds."""
        (found,) = self.school.train([(self._arm(self._with(change)), self._seeds(change, runs))])
        return _losses(found)

    def applies(self, change: Change) -> bool:
        """Whether its diff applies to the champion's."""
        return self.school.arm(self._with(change)) is not None

    def slowdown(self, change: Change) -> float:
        """How many times as long as the champion it takes, trained side by side."""
        return self.school.slowdown(self._arm(self.champion), self._arm(self._with(change)))

    def together(self, changes: Sequence[Change]) -> Change:
        """The changes that apply together, as one."""
        members: list[Change] = []
        for change in changes:
            if self.school.arm((*self.champion, *(old.name for old in members), change.name)):
                members.append(change)
        name = " + ".join(change.name for change in members)
        return Change(name, "idea", NOTHING, ablations=len(members), members=tuple(members))

    def _seeds(self, change: Change, runs: int) -> Sequence[int]:
        """The next seeds that a change has not seen on this champion."""
        first = self.seen.get((self.champion, change.name), 0)
        self.seen[self.champion, change.name] = first + runs
        return range(first + 1, first + runs + 1)

    def _with(self, change: Change) -> State:
        return (*self.champion, *(part.name for part in change.parts))

    def _arm(self, state: State) -> Arm:
        arm = self.school.arm(state)
        assert arm is not None
        return arm


def _losses(runs: Sequence[dict[str, Any]]) -> Floats:
    return np.array([[run.get(split, FAILED) for split in SPLITS] for run in runs])


def session(school: School, loop: str, number: int, budget: float) -> list[str]:
    """One real session and its row of the table."""
    ideas = queue()
    np.random.default_rng(number).shuffle(ideas)
    nowhere = Truth(NOTHING, math.nan, NOTHING)
    player = Trained(nowhere, iter(ideas), np.random.default_rng(number), budget, school=school)
    claims = play(LOOPS[loop], player)
    seeds = range(FIRST_FRESH, FIRST_FRESH + FRESH)
    arm = school.arm(player.champion)
    assert arm is not None
    old, new = school.train([(school.arms["base"], seeds), (arm, seeds)])
    gain = interval((_losses(old) - _losses(new))[:, HIDDEN].tolist())
    slow = school.slowdown(school.arms["base"], arm)
    return [
        str(number),
        loop,
        f"{player.spent:.0f}",
        str(len(claims)),
        f"{sum(claim.said for claim in claims):+.4f}",
        f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]" if player.champion else "0, the base itself",
        f"x {slow:.2f}",
        f"{gain.mean - player.kappa * math.log(slow):+.4f}",
    ]


def main() -> None:
    """Train the sessions, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, metavar="FOLDER", required=True)
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="the first session's number, which orders the ideas")
    parser.add_argument("--budget", type=float, default=100, help="runs of a session")
    parser.add_argument("--loops", nargs="+", choices=sorted(LOOPS), default=list(LOOPS)[:-1], help="only these")
    parser.add_argument("--workers", type=int, default=2, help="sessions side by side, of one thread each")
    asked = parser.parse_args()
    school, rows = School(asked.train, asked.preset), []
    numbers = range(asked.first, asked.first + asked.sessions)
    every = [(loop, number) for number in numbers for loop in asked.loops]
    with ThreadPoolExecutor(asked.workers) as pool:
        for row in pool.map(lambda one: session(school, one[0], one[1], asked.budget), every):
            rows.append(row)
            print(*row, sep=" | ", flush=True)
    table("Real sessions; gains in nats on the hidden split", HEAD, sorted(rows, key=lambda row: row[1]))


if __name__ == "__main__":
    main()
