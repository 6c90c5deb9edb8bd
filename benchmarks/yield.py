"""What research loops find with the same ideas and runs, played on the truth bank of real runs.

    python -m benchmarks.yield [--bank docs/research/bank.json] [--sessions 1000] [--figure FILE]

Each session gives every loop one stream of ideas, in which so many per cent are useful: truly half a sigma or more
better at equal tokens, and better at equal time. A neutral script then runs each claim again, on 16 fresh seeds of the
hidden split: it replicates if the lower bound of its gain (95 %, one-sided) is above 0, and if it would be
scored at all. This measures how loops select, not how good anyone's ideas are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from benchmarks.bank.figure import Point, draw
from benchmarks.bank.player import HIDDEN, Claim, Player, play
from benchmarks.bank.truth import Idea, Truth, read_truth
from benchmarks.loops import LOOPS
from benchmarks.shapes import ROOT
from benchmarks.verdict import table

BUDGETS = (50, 150, 300, 500)
HEADLINE = 300
SHARES = (0.02, 0.10, 0.30)
CHEATS = 0.02
"""The share of proposals that only report a gain."""
FRESH = 16
BOUND = float(stdtrit(FRESH - 1, 0.95)) / FRESH**0.5
"""A mean of fresh gains above so many of their deviations is above 0 at 95 %, one-sided (Student's t)."""
BANK = ROOT / "docs" / "research" / "bank.json"
HEAD = [
    "loop",
    "true gain, equal tokens",
    "at equal time",
    "claims",
    "that replicate",
    "useful of their ideas",
    "said / true",
    "runs a true win",
]


@dataclass(frozen=True)
class Score:
    """What a session's claims are worth; gains in sigmas. `ideas` counts what is in, a bundle's one by one, and `true`
    those that are useful."""

    gain: float
    timed: float
    said: float
    claims: int
    replicated: int
    true: int
    ideas: int


def stream(truth: Truth, share: float, rng: np.random.Generator) -> Iterator[Idea]:
    """Ideas without end: useful ones, cheats, and what is of no use; what failed is as new, however often it comes."""
    cheats = tuple(idea for idea in truth.useless_ideas if idea.changes[0].kind == "cheat")
    others = tuple(idea for idea in truth.useless_ideas if idea not in cheats)
    while True:
        kind = rng.random()
        ideas = truth.useful_ideas if kind < share else cheats if kind > 1 - CHEATS else others
        yield ideas[rng.integers(len(ideas))]


def replicates(claim: Claim, rng: np.random.Generator) -> bool:
    """Whether a neutral script finds the gain again."""
    gains = claim.change.draw(rng, FRESH)[:, HIDDEN]
    return not claim.change.void and float(gains.mean()) > BOUND * float(gains.std(ddof=1))


def session(truth: Truth, share: float, loop: str, budget: int, seed: int) -> Score:
    """One session of a loop with so many runs."""
    ideas, chance, neutral = (np.random.default_rng((seed, number)) for number in range(3))
    claims = play(LOOPS[loop], Player(truth, stream(truth, share, ideas), chance, budget))
    return Score(
        gain=sum(claim.change.gain for claim in claims) / truth.sigma,
        timed=sum(truth.gain_at_equal_time(claim.change) for claim in claims) / truth.sigma,
        said=sum(claim.said for claim in claims) / truth.sigma,
        claims=len(claims),
        replicated=sum(replicates(claim, neutral) for claim in claims),
        true=sum(truth.useful(part) for claim in claims for part in claim.change.parts),
        ideas=sum(len(claim.change.parts) for claim in claims),
    )


@dataclass(frozen=True)
class Cell:
    """A loop at a budget and a share of useful ideas: the sessions' scores, [sessions] each."""

    share: float
    budget: int
    loop: str
    scores: tuple[Score, ...]

    def mean(self, name: str) -> float:
        """The mean of a score over the sessions."""
        return float(np.mean([getattr(score, name) for score in self.scores]))

    @property
    def replicating(self) -> float:
        """The share of all claims that replicate; NaN without a claim."""
        claims = self.mean("claims")
        return self.mean("replicated") / claims if claims else float("nan")

    @property
    def replicating_words(self) -> str:
        """The same for people; empty without a claim."""
        return f"{self.replicating:.0%}" if self.mean("claims") else ""

    @property
    def words(self) -> str:
        """Its gains at equal tokens and at equal time, and what replicates."""
        return f"{self.mean('gain'):+.1f} / {self.mean('timed'):+.1f} / {self.replicating_words}"

    @property
    def point(self) -> Point:
        """Its place in the figure."""
        gain = 100 * self.mean("timed") / self.budget
        return Point(self.share, self.budget, self.loop, gain, self.replicating)

    def row(self) -> list[str]:
        """Its row of the table."""
        true, gain = self.mean("true"), self.mean("gain")
        error = float(np.std([score.gain for score in self.scores], ddof=1)) / len(self.scores) ** 0.5
        return [
            self.loop,
            f"{gain:+.2f} ± {error:.2f}",
            f"{self.mean('timed'):+.2f}",
            f"{self.mean('claims'):.2f}",
            self.replicating_words,
            f"{true / self.mean('ideas'):.0%}" if self.mean("ideas") else "",
            f"{self.mean('said') / gain:.2f}" if gain > 2 * error else "",
            f"{self.budget / true:.0f}" if true > 0.01 else "",
        ]


def cells(truth: Truth, sessions: int) -> Iterator[Cell]:
    """Every loop at every share and budget, on the same streams."""
    with Pool() as pool:
        for share, loop, budget in product(SHARES, LOOPS, BUDGETS):
            played = pool.map(partial(session, truth, share, loop, budget), range(sessions), chunksize=50)
            yield Cell(share, budget, loop, tuple(played))


def summary(found: Sequence[Cell], budget: int) -> Iterator[list[str]]:
    """For each loop, its gains at equal tokens and at equal time and the share of its claims that replicate."""
    for loop in LOOPS:
        yield [loop, *(cell.words for cell in found if (cell.loop, cell.budget) == (loop, budget))]


def main() -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, default=BANK)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    began, truth = time.perf_counter(), read_truth(arguments.bank)
    print(f"{len(truth.useful_ideas)} of {len(truth.ideas)} ideas are useful; sigma is {truth.sigma:.4f}.")
    found = list(cells(truth, arguments.sessions))
    for share in SHARES:
        for budget in BUDGETS:
            rows = [cell.row() for cell in found if (cell.share, cell.budget) == (share, budget)]
            table(f"{share:.0%} of the ideas useful, {budget} runs; gains in sigmas", HEAD, rows)
    head = ["loop", *(f"{share:.0%} useful: equal tokens / equal time / replicate" for share in SHARES)]
    table(f"{HEADLINE} runs; gains in sigmas", head, summary(found, HEADLINE))
    if arguments.figure:
        draw([cell.point for cell in found], arguments.figure)
    print(f"\n{arguments.sessions} sessions a cell, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
