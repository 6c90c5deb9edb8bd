"""Circle's graph and its campaign, played on the truth bank with the rule of agents/statistics.py."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import fmean, stdev

import numpy as np

from agents.budget import FLOOR_SEEDS, MOST_HELD, REPORT_PAIRS, TIMING_PAIRS, judging_runs, screening_runs
from agents.campaign.stack import STACK_PAIRS
from agents.nodes.timing import STRETCH
from agents.records import Cause, Confidence, Interval, Verdict
from agents.statistics import (
    BOUNDARIES,
    FREE_SLOWDOWN,
    LEVEL,
    SCREEN,
    Evidence,
    Floor,
    confirm,
    confirmations_within,
    equal_time,
    interval,
    judge,
    kappa,
    kappa_margin,
    near_zero,
    ratio_interval,
    screen,
    t_statistic,
)
from benchmarks.bank.player import HIDDEN, VISIBLE, Claim, Player
from benchmarks.bank.truth import Change, Idea
from benchmarks.causes import CLOCK

SHORT = 0.21
"""A short run's share of a whole one's tokens, as the cpu preset has it."""
CONFIDENCE: Confidence = "standard"
LOOKS = BOUNDARIES[CONFIDENCE]
NIGHT, QUEUE = 0.05, 29
"""How often a night of useless ideas may claim a win, which its confirmations follow from, and its ideas: as many as
`circle campaign` takes from the catalogue."""


def circle(player: Player, *, screens: bool = True, revises: bool = True) -> Iterator[Claim]:
    """The graph on one idea after the other: floor, then the versions of each, and a new floor after a win."""
    floor = _floor(player)
    for number, idea in enumerate(player.fresh()):
        player.pay(number > 0)  # a session trains one run of the floor on record again
        left = list(idea.changes)
        change: Change | None = left.pop(0)
        while change is not None:
            verdict = _Version(player, floor, change, screens).verdict()
            if verdict.outcome == "win":
                yield from _claim(player, change)
                floor = _floor(player)
                break
            change = _answer(left, verdict.cause) if revises else None


def without_screen(player: Player) -> Iterator[Claim]:
    """The graph, but every change that is not wrong goes on to the confirmation."""
    return circle(player, screens=False)


def without_revision(player: Player) -> Iterator[Claim]:
    """The graph, but an idea that fails is not revised."""
    return circle(player, revises=False)


def campaign(player: Player) -> Iterator[Claim]:
    """One night after the other, each with its queue: agents/campaign/night.py without the person."""
    night, ideas = _Night(player, _floor(player)), player.fresh()
    while night.confirmations and (queue := list(islice(ideas, QUEUE))):
        yield from night.work(queue)


@dataclass
class _Line:
    """An idea on its way: its version, and the variants that are left."""

    version: _Version
    left: list[Change]


@dataclass
class _Night:
    """What is held before its confirmation on the present baseline, what failed, and the confirmations left."""

    player: Player
    floor: Floor
    held: list[_Line] = field(default_factory=list)
    failed: list[_Line] = field(default_factory=list)
    confirmations: int = confirmations_within(NIGHT, CONFIDENCE)
    wins: int = 0

    def work(self, queue: list[Idea]) -> Iterator[Claim]:
        """Screen the queue, judge what is held, then revise what failed."""
        for idea in queue:
            while self._is_due():
                yield from self._turn(hurried=True)
            if idea.name not in self._known():
                first, *left = idea.changes
                self._screen(first, left)
        while self.held:
            yield from self._turn()
        while self.failed and self.confirmations:
            self._revise(self.failed.pop(0))
            while self.held:
                yield from self._turn()

    def _known(self) -> set[str]:
        """What is in, held or failed; what does nothing stands for ever new ideas."""
        changes = [line.version.change for line in (*self.held, *self.failed)]
        return self.player.kept | {change.idea for change in changes if change.kind != "null"}

    def _screen(self, change: Change, left: list[Change]) -> None:
        """Take a change as far as its confirmation; what gains and costs too much is revised at once."""
        line = _Line(_Version(self.player, self.floor, change), left)
        if line.version.is_held():
            self.held.append(line)
        elif line.version.judged().cause == "system":
            self._revise(line)
        else:
            self.failed.append(line)

    def _revise(self, line: _Line) -> None:
        following = _answer(line.left, line.version.judged().cause)
        if following is not None:
            self._screen(following, line.left)

    def _is_due(self) -> bool:
        """Whether what is held is judged before another idea is screened."""
        room = self._affords(screening_runs(True) + judging_runs(CONFIDENCE, len(self.held)))
        return bool(self.held) and (len(self.held) >= MOST_HELD or not room)

    def _turn(self, hurried: bool = False) -> Iterator[Claim]:
        """Judge what is held; what is left of it is screened once more on top of a win."""
        won = self._judge(hurried)
        if won is not None:
            yield from _claim(self.player, won)
            again, self.held, self.floor = self.held, [], _floor(self.player)
            self.wins += 1
            for line in again:
                if self.player.applies(line.version.change):
                    self._screen(line.version.change, line.left)

    def _judge(self, hurried: bool) -> Change | None:
        """The bundle or the first idea that is confirmed; what was refused before it has failed."""
        self.held.sort(key=lambda line: line.version.t, reverse=True)
        each = judging_runs(CONFIDENCE, 1) + screening_runs(True)
        if len(self.held) > 1 and (hurried or not self._affords(len(self.held) * each)):
            together = self.player.together([line.version.change for line in self.held])
            bundle = _Version(self.player, self.floor, together)
            if len(together.parts) > 1 and bundle.is_held() and self._confirms(bundle):
                members = [part.name for part in together.parts]
                self.held = [line for line in self.held if line.version.change.name not in members]
                return together
        while self.held:
            line = self.held.pop(0)
            if self._confirms(line.version):
                return line.version.change
            self.failed.append(line)
        return None

    def _affords(self, runs: float) -> bool:
        """Whether so many runs fit beside those that tell what two wins are worth together."""
        return self.player.affords(runs + (2 * STACK_PAIRS if self.wins > 1 else 0))

    def _confirms(self, version: _Version) -> bool:
        if not self.confirmations:
            return False
        self.confirmations -= 1
        version.confirm()
        return version.judged().outcome == "win"


def _claim(player: Player, change: Change) -> Iterator[Claim]:
    """Claim a win with the gain of fresh pairs, and pay for them and for the ablations."""
    yield Claim(change, player.spent, float(player.pairs(change, REPORT_PAIRS)[:, HIDDEN].mean()))
    player.keep(change)
    player.pay(2 * REPORT_PAIRS + REPORT_PAIRS * change.ablations)


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


class _Version:
    """One change on its way through the graph, paying as it goes."""

    def __init__(self, player: Player, floor: Floor, change: Change, screens: bool = True) -> None:
        self.player, self.floor, self.change, self.screens = player, floor, change, screens
        self.gains: list[float] = []
        self.evidence = Evidence(sigma=floor.std)
        self.speed: Interval | None = None

    def verdict(self) -> Verdict:
        """What the rule says, at the stage where it ends."""
        if self.is_held():
            self.confirm()
        return self.judged()

    def judged(self) -> Verdict:
        """What the rule says of what was measured so far."""
        return judge(replace(self.evidence, differences=tuple(self.gains), visible_effect=self._effect))

    @property
    def t(self) -> float:
        """How sure its screen is."""
        return t_statistic(self.gains)

    def is_held(self) -> bool:
        """Whether it comes through the review, the regression, the screen and the timing."""
        if self.change.stopped_by == "review" or not self.player.applies(self.change):
            self.evidence = replace(self.evidence, regression_failed=True)
            return False
        self.player.pay(1 + 2 * SHORT)
        if self.change.stopped_by == "regression":
            self.evidence = replace(self.evidence, regression_failed=True)
            return False
        return self._screened() and not self._too_costly()

    def _screened(self) -> bool:
        for gate in SCREEN:
            self.player.pay(gate.n - len(self.gains))
            if self.change.stopped_by == "evaluation":
                self.evidence = replace(self.evidence, causality_failed=True)
                return False
            self.gains += self.player.pairs(self.change, gate.n - len(self.gains))[:, VISIBLE].tolist()
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
        self.speed = ratio_interval((noise[0] * self.player.slowdown(self.change)).tolist(), noise[1].tolist())
        timed: Interval | None = effect
        if self.speed.low > 1 or self.speed.mean > FREE_SLOWDOWN:
            seeds = SCREEN[0].n
            self.player.pay(seeds * STRETCH)
            longer = self.player.stretched(seeds)[:, VISIBLE].tolist()
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
        price = self.player.kappa * math.log(self.speed.mean)
        effect = interval([gain - price for gain in self.gains], LEVEL)
        unsure = Interval(mean=1.0, low=self.speed.low / self.speed.mean, high=self.speed.high / self.speed.mean)
        self.evidence = replace(self.evidence, retrained=True)
        return equal_time(effect, unsure, self.player.kappa) or effect

    def confirm(self) -> None:
        """Hold the confirmation on the hidden split; before a win of what is slower, the base trains as long."""
        gains: list[float] = []
        decision = "more"
        for look in LOOKS:
            self.player.pay(2 * (look.n - len(gains)))
            gains += self.player.pairs(self.change, look.n - len(gains))[:, HIDDEN].tolist()
            decision = confirm(gains, LOOKS)
            if decision != "more":
                break
        answer = "win" if decision == "win" else "refused"
        self.evidence = replace(self.evidence, confirmation="win" if answer == "win" else "refused")
        slower = self.speed is not None and self.speed.mean > FREE_SLOWDOWN
        if answer == "win" and slower and not self.evidence.retrained:
            timed = self._retrained()
            self.evidence = replace(self.evidence, equal_time_effect=timed)
