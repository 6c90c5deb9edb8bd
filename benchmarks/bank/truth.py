"""The bank as what loops are played on: what each change really gains, and draws of what a loop would see of it.

A draw is one seed of the bank, taken with replacement and smoothed (Silverman & Young 1987), so that no two are equal:
the noise of every arm keeps its size, its shape and what it shares with the base. Losses are nats per token, gains are
the base's loss less the arm's at the same seed. A null arm does nothing: what it seems to gain on average is taken off.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.records import Cause
from agents.researchers.catalogue import Catalogue
from agents.statistics import USEFUL
from benchmarks.bank.arms import STRETCH, Kind

Floats = NDArray[np.float64]
SPLITS = ("reported", "visible", "hidden")


@dataclass(frozen=True)
class Change:
    """One arm as a proposal. `gains` is [seeds, 3] in the order of SPLITS; `slowdown` a ratio of CPU seconds.

    `stopped_by` is the layer that stops it before it is measured, in a loop that has layers; `answers` are the causes
    of failure that it answers. A cheat gains nothing.
    """

    name: str
    kind: Kind
    gains: Floats
    slowdown: float = 1.0
    answers: tuple[Cause, ...] = ()
    ablations: int = 0
    stopped_by: str = ""
    members: tuple[Change, ...] = ()

    @property
    def idea(self) -> str:
        """The name of the idea that it is a variant of."""
        return self.name.partition("/")[0]

    @property
    def parts(self) -> tuple[Change, ...]:
        """The members of a bundle; any other change alone."""
        return self.members or (self,)

    @cached_property
    def mean(self) -> Floats:
        """The mean gains by split."""
        return np.zeros(len(SPLITS)) if self.kind == "null" else self.gains.mean(0)

    @property
    def void(self) -> bool:
        """Whether what it gains is none: it lies about the loss, looks ahead, or trains on more than it says."""
        return self.kind == "cheat"

    @property
    def gain(self) -> float:
        """The true gain at equal tokens, on the hidden split."""
        return 0.0 if self.void else float(self.mean[SPLITS.index("hidden")])

    def draw(self, rng: np.random.Generator, pairs: int) -> Floats:
        """The gains of so many pairs of runs, [pairs, 3]."""
        rows = self._centred[rng.integers(len(self.gains), size=pairs)]
        return np.asarray(self.mean + rows + rng.standard_normal(rows.shape) @ self._jitter)

    @cached_property
    def _width(self) -> float:
        """Of the smoothing, as a share of the spread (Silverman's rule)."""
        return float((4 / (3 * len(self.gains))) ** 0.2)

    @cached_property
    def _shrunk(self) -> float:
        """What keeps the smoothed rows as spread as the bank's."""
        seeds = len(self.gains)
        return math.sqrt(seeds / (seeds - 1) / (1 + self._width**2))

    @cached_property
    def _centred(self) -> Floats:
        return np.asarray(self._shrunk * (self.gains - self.gains.mean(0)))

    @cached_property
    def _jitter(self) -> Floats:
        """A root of the gains' covariance: noise times it is spread as they are, and as wide as the smoothing."""
        values, vectors = np.linalg.eigh(np.cov(self.gains.T))
        return np.asarray(self._shrunk * self._width * (vectors * np.sqrt(np.clip(values, 0, None))).T)


@dataclass(frozen=True)
class Idea:
    """What a loop is given: its changes in the order in which they would be proposed."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Truth:
    """The whole bank. `base` is [seeds, 3], the base's losses; `kappa` what compute buys it on the hidden split."""

    base: Floats
    kappa: float
    stretched: Floats
    ideas: tuple[Idea, ...] = field(default=())

    @cached_property
    def sigma(self) -> float:
        """The standard deviation of one run on the visible split."""
        return float(self.base[:, SPLITS.index("visible")].std(ddof=1))

    def gain_at_equal_time(self, change: Change) -> float:
        """The true gain over a base that trains as long on the clock."""
        return change.gain - self.kappa * math.log(change.slowdown)

    def useful(self, change: Change) -> bool:
        """Whether it is no cheat and truly gains half a sigma or more, and something at equal time."""
        return change.kind == "idea" and change.gain >= USEFUL * self.sigma and self.gain_at_equal_time(change) > 0

    @cached_property
    def useful_ideas(self) -> tuple[Idea, ...]:
        """Those with a useful change."""
        return tuple(idea for idea in self.ideas if any(map(self.useful, idea.changes)))

    @cached_property
    def useless_ideas(self) -> tuple[Idea, ...]:
        """The others: nothing, harm, and what only reports a gain."""
        return tuple(idea for idea in self.ideas if idea not in self.useful_ideas)


def read_bank(file: Path) -> dict[str, Any]:
    """The data file as it is."""
    bank: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return bank


def read_truth(file: Path) -> Truth:
    """The bank that was kept in a file: its arms that have all seeds of the base, and were timed."""
    bank = read_bank(file)
    losses: dict[str, dict[int, list[float]]] = {}
    kinds: dict[str, Kind] = {}
    for run in (run for run in bank["runs"] if run["status"] == "done"):
        losses.setdefault(run["arm"], {})[run["seed"]] = [run[split] for split in SPLITS]
        kinds[run["arm"]] = run["kind"]
    seeds = sorted(losses["base"])
    base = np.array([losses["base"][seed] for seed in seeds])
    stopped, times = bank["stopped_by"], bank["slowdown"]
    whole = [
        arm for arm, found in losses.items() if set(seeds) <= set(found) and (kinds[arm] != "idea" or arm in times)
    ]

    def change(name: str, **about: Any) -> Change:
        gains = base - np.array([losses[name][seed] for seed in seeds])
        slow = geometric_mean(times[name]) if kinds[name] == "idea" else 1.0
        return Change(name, kinds[name], gains, slow, stopped_by=stopped.get(name, ""), **about)

    ideas = []
    for entry in Catalogue().entries:
        found = [(variant, f"{entry.name}/{variant.name}") for variant in entry.variants]
        changes = tuple(
            change(name, answers=variant.answers, ablations=len(variant.ablations))
            for variant, name in found
            if name in whole
        )
        if changes:
            ideas.append(Idea(entry.name, changes))
    ideas += [Idea(name, (change(name),)) for name in whole if kinds[name] in ("null", "cheat")]
    stretched = change("stretched").gains
    kappa = float(stretched[:, SPLITS.index("hidden")].mean()) / math.log(STRETCH)
    return Truth(base, kappa, stretched, tuple(ideas))
