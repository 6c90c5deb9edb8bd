"""Research loops, played on the truth bank: each takes the same ideas in the same order until its runs are spent.

A run costs 1, a short one its share of the tokens. Every loop goes on from its last win. Gains are taken to add up,
which real ones do not quite: that is what real sessions are trained for.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from agents.budget import FLOOR_SEEDS, REPORT_PAIRS, TIMING_PAIRS
from agents.nodes.timing import STRETCH
from agents.records import Cause, Interval, Verdict
from agents.statistics import (
    BOUNDARIES,
    FREE_SLOWDOWN,
    LEVEL,
    SCREEN,
    Evidence,
    Floor,
    confirm,
    equal_time,
    interval,
    judge,
    kappa,
    kappa_margin,
    near_zero,
    ratio_interval,
    screen,
)
from benchmarks.bank.truth import SPLITS, Change, Floats, Idea, Truth
from benchmarks.causes import CLOCK

REPORTED, VISIBLE, HIDDEN = range(len(SPLITS))
SHORT = 0.21
"""A short run's share of a whole one's tokens, as the cpu preset has it."""
LOOKS = BOUNDARIES["standard"]


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

    def pay(self, runs: float) -> None:
        """Spend runs. Raises Spent if there are not as many left."""
        if self.spent + runs > self.budget:
            raise Spent
        self.spent += runs

    def base(self, runs: int) -> Floats:
        """What the base's seed alone does to so many runs, [runs, 3]."""
        return _draw_base(self.truth, self.rng, runs)

    def proposals(self) -> Iterator[Change]:
        """Every change of every idea, one after the other."""
        for idea in self.ideas:
            yield from idea.changes


class Spent(Exception):
    """The budget has ended."""


Loop = Callable[[Player], Iterator[Claim]]


def keep_if_lower(player: Player) -> Iterator[Claim]:
    """One run a change, on the champion's seed; it is kept if it reports a lower loss."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        seen = change.draw(player.rng, 1)[0, REPORTED]
        if seen > 0:
            yield Claim(change, player.spent, seen)


def keep_if_lower_twice(player: Player) -> Iterator[Claim]:
    """The fair rival: what is lower is run again with another seed, and so is the champion."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        first, again = change.draw(player.rng, 2)[:, REPORTED]
        if first > 0:
            player.pay(2)
            if again > 0:
                yield Claim(change, player.spent, (first + again) / 2)


def two_sigma(player: Player) -> Iterator[Claim]:
    """A change is kept if one run of it, with a new seed, is 2 sigma below the mean of 8 runs of the champion."""
    player.pay(FLOOR_SEEDS)
    floor = player.base(FLOOR_SEEDS)[:, REPORTED]
    for change in player.proposals():
        player.pay(1)
        seen = change.draw(player.rng, 1)[0, REPORTED] - player.base(1)[0, REPORTED] + fmean(floor)
        if seen > 2 * stdev(floor):
            yield Claim(change, player.spent, float(seen))
            player.pay(FLOOR_SEEDS)
            floor = player.base(FLOOR_SEEDS)[:, REPORTED]


def oracle(player: Player) -> Iterator[Claim]:
    """Knows the truth after one run: no loop can do better with these ideas."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        if player.truth.useful(change):
            yield Claim(change, player.spent, change.gain)


def circle(player: Player, *, screens: bool = True, revises: bool = True) -> Iterator[Claim]:
    """Circle's graph: floor, regression, screen, timing, confirmation, report, ablations, and the next version."""
    floor = _floor(player)
    for idea in player.ideas:
        left = list(idea.changes)
        change: Change | None = left.pop(0)
        while change is not None:
            verdict = _Version(player, floor, change, screens).verdict()
            if verdict.outcome == "win":
                said = float(change.draw(player.rng, REPORT_PAIRS)[:, HIDDEN].mean())
                yield Claim(change, player.spent, said)
                player.pay(2 * REPORT_PAIRS + REPORT_PAIRS * change.ablations)
                floor = _floor(player)
                break
            change = _answer(left, verdict.cause) if revises else None


def without_screen(player: Player) -> Iterator[Claim]:
    """The graph, but every change that is not wrong goes on to the confirmation."""
    return circle(player, screens=False)


def without_revision(player: Player) -> Iterator[Claim]:
    """The graph, but an idea that fails is not revised."""
    return circle(player, revises=False)


LOOPS: dict[str, Loop] = {
    "keep if lower": keep_if_lower,
    "keep if lower twice (the fair rival)": keep_if_lower_twice,
    "2 sigma below the floor": two_sigma,
    "Circle without screening": without_screen,
    "Circle without revision": without_revision,
    "Circle": circle,
    "an oracle": oracle,
}


def play(loop: Loop, player: Player) -> list[Claim]:
    """All claims of a loop until its budget ends."""
    claims: list[Claim] = []
    with contextlib.suppress(Spent):
        for claim in loop(player):
            claims.append(claim)
    return claims


def _answer(left: list[Change], cause: Cause | None) -> Change | None:
    """The next version: the first that answers the cause, as the catalogue chooses it."""
    fitting = next((change for change in left if cause in change.answers), None)
    if fitting is not None:
        left.remove(fitting)
    return fitting


def _floor(player: Player) -> Floor:
    player.pay(FLOOR_SEEDS)
    values = player.base(FLOOR_SEEDS)[:, VISIBLE]
    return Floor(FLOOR_SEEDS, fmean(values), stdev(values))


def _draw_base(truth: Truth, rng: np.random.Generator, runs: int) -> Floats:
    centred = truth.base - truth.base.mean(0)
    return Change("base", "null", centred).draw(rng, runs)


class _Version:
    """One change on its way through the graph, paying as it goes."""

    def __init__(self, player: Player, floor: Floor, change: Change, screens: bool) -> None:
        self.player, self.floor, self.change, self.screens = player, floor, change, screens
        self.gains: list[float] = []
        self.evidence = Evidence(sigma=floor.std)
        self.speed: Interval | None = None

    def verdict(self) -> Verdict:
        """What the rule says, at the stage where it ends."""
        self._conduct()
        return judge(replace(self.evidence, differences=tuple(self.gains), visible_effect=self._effect))

    def _conduct(self) -> None:
        if self.change.stopped_by == "review":
            self.evidence = replace(self.evidence, regression_failed=True)
            return
        self.player.pay(1 + 2 * SHORT)
        if self.change.stopped_by == "regression":
            self.evidence = replace(self.evidence, regression_failed=True)
        elif self._screened() and not self._too_costly():
            self._confirm()

    def _screened(self) -> bool:
        for gate in SCREEN:
            self.player.pay(gate.n - len(self.gains))
            if self.change.void:
                self.evidence = replace(self.evidence, causality_failed=True)
                return False
            self.gains += self.change.draw(self.player.rng, gate.n - len(self.gains))[:, VISIBLE].tolist()
            if self.screens and screen(self.gains, self.floor.std) == "drop":
                return False
        return True

    @property
    def _effect(self) -> Interval | None:
        few = len(self.gains) < SCREEN[-1].n
        return interval(self.gains, LEVEL, floor=self.floor if few else None) if self.gains else None

    def _too_costly(self) -> bool:
        """Time both arms; estimate the gain at equal time of what is slower, and retrain where that is near 0."""
        rng, effect = self.player.rng, self._effect
        assert effect is not None
        self.player.pay(2 * TIMING_PAIRS * SHORT)
        noise = np.exp(CLOCK * rng.standard_normal((2, TIMING_PAIRS)))
        self.speed = ratio_interval((noise[0] * self.change.slowdown).tolist(), noise[1].tolist())
        timed: Interval | None = effect
        if self.speed.low > 1 or self.speed.mean > FREE_SLOWDOWN:
            seeds = SCREEN[0].n
            self.player.pay(seeds * STRETCH)
            longer = Change("stretched", "base", self.player.truth.stretched).draw(rng, seeds)[:, VISIBLE].tolist()
            bought = kappa([0.0] * seeds, longer, "max", STRETCH)
            timed = equal_time(effect, self.speed, bought, kappa_margin(self.floor, seeds, STRETCH))
            self.evidence = replace(self.evidence, kappa=bought)
            if timed and near_zero(timed, len(self.gains)):
                timed = self._retrained()
        self.evidence = replace(self.evidence, speed_ratio=self.speed, equal_time_effect=timed)
        return effect.low > 0 and timed is not None and timed.high < 0

    def _retrained(self) -> Interval:
        """The gain over a base that trains as long, of the screen's pairs."""
        assert self.speed is not None
        self.player.pay(len(self.gains) * self.speed.mean)
        price = self.player.truth.kappa * math.log(self.speed.mean)
        effect = interval([gain - price for gain in self.gains], LEVEL)
        unsure = Interval(mean=1.0, low=self.speed.low / self.speed.mean, high=self.speed.high / self.speed.mean)
        self.evidence = replace(self.evidence, retrained=True)
        return equal_time(effect, unsure, self.player.truth.kappa) or effect

    def _confirm(self) -> None:
        gains: list[float] = []
        decision = "more"
        for look in LOOKS:
            self.player.pay(2 * (look.n - len(gains)))
            gains += self.change.draw(self.player.rng, look.n - len(gains))[:, HIDDEN].tolist()
            decision = confirm(gains, LOOKS)
            if decision != "more":
                break
        answer = "win" if decision == "win" else "refused"
        self.evidence = replace(self.evidence, confirmation="win" if answer == "win" else "refused")
        slower = self.speed is not None and self.speed.mean > FREE_SLOWDOWN
        if answer == "win" and slower and not self.evidence.retrained:
            self.evidence = replace(self.evidence, equal_time_effect=self._retrained())
