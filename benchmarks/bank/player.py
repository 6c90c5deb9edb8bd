"""A research loop at work on the truth bank: its ideas, its chance, and the runs that it has left.

A run costs 1, a short one its share of the tokens. Every loop goes on from its last win. Gains are taken to add up,
which real ones do not quite: that is what real sessions are trained for. An idea that is kept is not proposed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.bank.truth import SPLITS, Change, Floats, Idea, Truth

REPORTED, VISIBLE, HIDDEN = range(len(SPLITS))


@dataclass(frozen=True)
class Claim:
    """A change that a loop kept, when it had spent so many runs, and the gain that it gave for it."""

    change: Change
    spent: float
    said: float


@dataclass
class Player:
    """A loop at work: its ideas, its chance, and what it has spent of `budget` runs."""

    truth: Truth
    ideas: Iterator[Idea]
    rng: np.random.Generator
    budget: float
    spent: float = 0.0
    kept: set[str] = field(default_factory=set)

    def pay(self, runs: float) -> None:
        """Spend runs. Raises Spent if there are not as many left."""
        if not self.affords(runs):
            raise Spent
        self.spent += runs

    def base(self, runs: int) -> Floats:
        """What the base's seed alone does to so many runs, [runs, 3]."""
        return Change("base", "base", self.truth.base - self.truth.base.mean(0)).draw(self.rng, runs)

    def fresh(self) -> Iterator[Idea]:
        """The ideas that are not in the champion already."""
        return (idea for idea in self.ideas if idea.name not in self.kept)

    def proposals(self) -> Iterator[Change]:
        """Every change of every idea, one after the other, until one of the idea's is kept."""
        for idea in self.fresh():
            for change in idea.changes:
                if idea.name not in self.kept:
                    yield change

    def keep(self, change: Change) -> None:
        """Note that an idea is in, and would not gain twice; what does nothing stands for ever new ideas."""
        self.kept |= {part.idea for part in change.parts if part.kind != "null"}

    def affords(self, runs: float) -> bool:
        """Whether so many runs are left."""
        return self.spent + runs <= self.budget


class Spent(Exception):
    """The budget has ended."""


Loop = Callable[[Player], Iterator[Claim]]


def play(loop: Loop, player: Player) -> list[Claim]:
    """All claims of a loop until its budget ends."""
    claims: list[Claim] = []
    with contextlib.suppress(Spent):
        for claim in loop(player):
            claims.append(claim)
    return claims
