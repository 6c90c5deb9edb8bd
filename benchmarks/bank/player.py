"""A research loop at work on the truth bank: its ideas, its chance, and the runs that it has left.

A run costs 1, a short one its share of the tokens. Every loop goes on from its last win. Gains are taken to add up,
which real ones do not quite: that is what real sessions are trained for. An idea that is kept is not proposed again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
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
    luck: float | None = None
    _challenger: float | None = None
    _own: dict[str, Change] = field(default_factory=dict)

    def pay(self, runs: float) -> None:
        """Spend runs. Raises Spent if there are not as many left."""
        if not self.affords(runs):
            raise Spent
        self.spent += runs

    @property
    def kappa(self) -> float:
        """What compute buys the base, in nats for a factor e of it."""
        return self.truth.kappa

    def base(self, runs: int) -> Floats:
        """The champion's losses at so many seeds, as far as they differ, [runs, 3]."""
        return Change("base", "base", self.truth.base - self.truth.base.mean(0)).draw(self.rng, runs)

    def pairs(self, change: Change, runs: int) -> Floats:
        """The gains of a change over the champion at so many fresh seeds, [runs, 3]."""
        return change.draw(self.rng, runs)

    def against_champion(self, change: Change) -> float:
        """The reported gain over the run that made the champion, at its seed; the run is the champion's if it is kept.

        That run was kept because it was lucky. Two runs at a seed share as much of their luck as the paired gain's
        noise leaves; the rest of it the next one has to have anew.
        """
        sigma = float(self.truth.base[:, REPORTED].std(ddof=1))
        old = sigma * self.rng.standard_normal() if self.luck is None else self.luck
        shared = max(0.0, 1 - float(change.gains[:, REPORTED].var(ddof=1)) / (2 * sigma**2))
        new = shared * old + math.sqrt(1 - shared**2) * sigma * self.rng.standard_normal()
        self.luck, self._challenger = old, new
        return float(change.mean[REPORTED]) + old - new

    def losses(self, change: Change, runs: int) -> Floats:
        """The losses of a change at so many fresh seeds, less the champion's expected one, [runs, 3]."""
        if change.name not in self._own:
            alone = self.truth.base - change.gains
            self._own[change.name] = Change("alone", "base", alone - alone.mean(0))
        return np.asarray(self._own[change.name].draw(self.rng, runs) - change.mean)

    def applies(self, change: Change) -> bool:
        """Whether a change can be put into the champion."""
        return True

    def stretched(self, runs: int) -> Floats:
        """What the champion gains where it trains STRETCH times as long, [runs, 3]."""
        return Change("stretched", "base", self.truth.stretched).draw(self.rng, runs)

    def slowdown(self, change: Change) -> float:
        """How much longer a change takes than the champion."""
        return change.slowdown

    def together(self, changes: Sequence[Change]) -> Change:
        """Changes as one: their gains add up, their slowdowns multiply, and they share no noise with the base."""
        unrelated = self.truth.base - np.roll(self.truth.base, 1, axis=0)
        return Change(
            name="a bundle",
            kind="idea",
            gains=sum((change.mean for change in changes), unrelated - unrelated.mean(0)),
            slowdown=math.prod(change.slowdown for change in changes),
            ablations=len(changes),
            members=tuple(changes),
        )

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
        self.luck = self._challenger

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
