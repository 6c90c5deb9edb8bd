"""How often a rule sees a victory where there is none, on a target's own noise.

The rules are vectorised over whole sessions: in each, ideas that change nothing are tried one after the other,
on a floor that the session shares. The first rule is `agents.statistics`'s; the tests hold the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtr
from scipy.stats import shapiro

from agents.records import Confidence, Direction
from agents.statistics import ATTEMPTS, BOUNDARIES, SCREEN, Gate, Look, noise_floor, skewness

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int_]
FLOOR, SCREENED = 8, SCREEN[-1].n
CIRCLE = "Circle's rule"


@dataclass(frozen=True)
class FalseWins:
    """The victories that one rule claimed where there were none.

    ideas: useless ideas that the rule judged, all sessions together. The two shares come with upper bounds of
    95 % (Clopper & Pearson 1934): exact for sessions, which are independent; ideas of one session share its
    baseline, so theirs is too low where a rule claims in bursts.
    """

    rule: str
    ideas: int
    claimed_per_idea: float
    upper_per_idea: float
    sessions_with_a_claim: float
    upper_sessions: float


@dataclass(frozen=True)
class Noise:
    """Losses in units of one run's deviation; `draw` gives any shape of them with mean 0.

    rho: correlation of any two arms at the same seed. 0, where pairing helps nothing, is the conservative case;
    above it a loss is a mixture, which has `draw`'s own shape only where that is normal.
    """

    draw: Callable[[tuple[int, ...]], Floats]
    rho: float = 0.0

    def arm(self, seeds: Floats) -> Floats:
        """Losses of an arm that changes nothing, at seeds of which `draw` gave what they decide in every arm."""
        return math.sqrt(self.rho) * seeds + math.sqrt(1 - self.rho) * self.draw(seeds.shape)

    def pairs(self, versions: int, pairs: int) -> tuple[Floats, Floats]:
        """Losses of two arms at the same seeds, each [versions, pairs]."""
        seeds = self.draw((versions, pairs))
        return self.arm(seeds), self.arm(seeds)


@dataclass(frozen=True)
class Played:
    """What one rule did in every session: ideas judged, victories claimed, runs trained."""

    ideas: Ints
    claims: Ints
    runs: Ints


def false_wins(
    values: Sequence[float],
    *,
    direction: Direction,
    confidence: Confidence = "standard",
    sessions: int = 2000,
    ideas: int = 60,
    seed: int = 0,
) -> tuple[FalseWins, ...]:
    """The false victories of every rule in sessions of `ideas` useless ideas, from a target's baseline runs.

    Runs are drawn from the values by a smoothed bootstrap that keeps their variance (Silverman & Young 1987):
    a value at random plus normal noise of Silverman's width, shrunk to the values' own deviation. Both arms come
    from it independently, which is the case without pairing. As they share one distribution, its skew cancels
    in a pair: what an experiment's own rare bad runs do to a rule is not in these figures.
    Raises ValueError: fewer than two values, one that is not finite, or values that are all the same.
    """
    floor = noise_floor(values)
    sign = 1 if direction == "min" else -1
    units = sign * (np.asarray(values, float) - floor.mean) / floor.std
    noise = Noise(smoothed(np.random.default_rng(seed), units))
    plays = {CIRCLE: circle(noise, sessions, ideas, confidence), **rivals(noise, sessions, ideas)}
    return tuple(rates(rule, played) for rule, played in plays.items())


def shape(values: Sequence[float]) -> dict[str, float | None]:
    """n, mean, std, skewness and Shapiro's p of the values; the last two are None below 3 values.

    Raises ValueError as `false_wins` does.
    """
    floor = noise_floor(values)
    p = float(shapiro(values).pvalue) if floor.n > 2 else None
    return {"n": floor.n, "mean": floor.mean, "std": floor.std, "skewness": skewness(values), "shapiro_p": p}


def smoothed(rng: np.random.Generator, units: Floats) -> Callable[[tuple[int, ...]], Floats]:
    """Draws of a smoothed bootstrap with the mean and the sample deviation of these values (mean 0, deviation 1)."""
    n = len(units)
    low, high = np.quantile(units, (0.25, 0.75))
    width = 0.9 * min(1.0, (high - low) / 1.34 or 1.0) * n**-0.2
    shrink = 1 / math.sqrt((n - 1) / n + width**2)

    def draw(shape: tuple[int, ...]) -> Floats:
        return np.asarray(shrink * (rng.choice(units, shape) + width * rng.standard_normal(shape)))

    return draw


def rates(rule: str, played: Played) -> FalseWins:
    """Count a rule's claims by idea and by session."""
    ideas, claims, sessions = int(played.ideas.sum()), int(played.claims.sum()), len(played.claims)
    fooled = int((played.claims > 0).sum())
    return FalseWins(rule, ideas, claims / ideas, upper(claims, ideas), fooled / sessions, upper(fooled, sessions))


def upper(events: int, tries: int) -> float:
    """Clopper and Pearson's upper bound of a share at 95 %, one-sided."""
    return 1.0 if events == tries else float(betaincinv(events + 1, tries - events, 0.95))


def t_statistics(differences: Floats) -> Floats:
    """The paired t of every row; a row without spread gives what `t_statistic` gives."""
    n = differences.shape[1]
    mean, spread = differences.mean(1), differences.std(1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean * math.sqrt(n) / spread
    return np.asarray(np.nan_to_num(t, nan=0.0, posinf=math.inf, neginf=-math.inf))


def confirmed(
    differences: Floats, looks: Sequence[Look], statistic: Callable[[Floats], Floats] = t_statistics
) -> tuple[Bools, Ints]:
    """For every row of [versions, last look]: whether `confirm` ends in a win, and the pairs it took."""
    versions = len(differences)
    running, won = np.ones(versions, bool), np.zeros(versions, bool)
    pairs = np.zeros(versions, int)
    for look in looks:
        t = statistic(differences[:, : look.n])
        pairs[running] = look.n
        won |= running & (t > look.win)
        running &= ~won & (t >= (math.inf if look.stop is None else look.stop))
    return won, pairs


def screened(gains: Floats, sigma: Floats, gates: Sequence[Gate] = SCREEN) -> tuple[Bools, Ints]:
    """For every row of [versions, last gate]: whether `screen` lets it on, and the experiment runs it took."""
    alive, runs = np.ones(len(gains), bool), np.zeros(len(gains), int)
    for gate in gates:
        seen = gains[:, : gate.n]
        runs[alive] = gate.n
        alive &= (seen.mean(1) >= gate.mean * sigma) | (t_statistics(seen) >= gate.t)
    return alive, runs


def circle(
    noise: Noise, sessions: int, ideas: int, confidence: Confidence = "standard", overfit: float = 0.0
) -> Played:
    """Screen and confirmation, until a victory or as many confirmations as the bounds are made for.

    overfit: what every idea gains on the visible split and not on the hidden one. A session's confirmations
    share the baselines of its secret, which are trained when first needed.
    """
    looks, attempts_left = BOUNDARIES[confidence], np.full(sessions, ATTEMPTS[confidence])
    seeds, secret = noise.draw((sessions, FLOOR)), noise.draw((sessions, looks[-1].n))
    floor, bank = noise.arm(seeds), noise.arm(secret)
    sigma = floor.std(1, ddof=1)
    judged, claims, runs, banked = (np.zeros(sessions, int) for _ in range(4))
    for _ in range(ideas):
        going = np.flatnonzero((attempts_left > 0) & (claims == 0))
        tried = noise.arm(seeds[going, :SCREENED]) - overfit
        alive, trained = screened(floor[going, :SCREENED] - tried, sigma[going])
        judged[going] += 1
        runs[going] += trained
        on = going[alive]
        claims[on], pairs = confirmed(bank[on] - noise.arm(secret[on]), looks)
        attempts_left[on] -= 1
        runs[on] += pairs
        banked[on] = np.maximum(banked[on], pairs)
    return Played(judged, claims, FLOOR + runs + banked)


def night(
    noise: Noise, nights: int, ideas: int, confirmations: int, confidence: Confidence = "standard", overfit: float = 0.0
) -> Played:
    """A campaign of useless ideas: all are screened on one floor, and the surest are confirmed, as many as are bought.

    `ideas` are those that were confirmed, each on baselines of its own session's secret. A false win would change
    the baseline and what is confirmed after it, but takes no confirmation back; so the night simply goes on.
    """
    looks, floor_seeds = BOUNDARIES[confidence], noise.draw((nights, FLOOR))
    floor = noise.arm(floor_seeds)
    sigma = floor.std(1, ddof=1)
    surest, screens = np.full((nights, ideas), -math.inf), np.zeros(nights, int)
    for index in range(ideas):
        gains = floor[:, :SCREENED] - noise.arm(floor_seeds[:, :SCREENED]) + overfit
        alive, runs = screened(gains, sigma)
        surest[alive, index] = t_statistics(gains[alive])
        screens += runs
    judged = np.minimum((surest > -math.inf).sum(1), confirmations)
    claims, runs = np.zeros(nights, int), FLOOR + screens
    for turn in range(confirmations):
        going = np.flatnonzero(judged > turn)
        won, pairs = confirmed(np.subtract(*noise.pairs(len(going), looks[-1].n)), looks)
        claims[going] += won
        runs[going] += 2 * pairs
    return Played(judged, claims, runs)


def rivals(noise: Noise, sessions: int, ideas: int) -> dict[str, Played]:
    """What other rules claim: each idea has 1 run, or 3 against the 5 that serve the whole session."""
    floor, base, best = noise.draw((sessions, FLOOR)), noise.draw((sessions, 5)), noise.draw((sessions,))
    cost = {
        "keep if lower": (1, 1),
        "2 sigma below the floor": (FLOOR, 1),
        "Welch 5 v 3 at .05": (5, 3),
        "Cohen's d >= .5, 5 v 3": (5, 3),
    }
    claims = {rule: np.zeros(sessions, int) for rule in cost}
    for _ in range(ideas):
        tried = noise.draw((sessions, 3))
        first = tried[:, 0]
        lower, best = first < best, np.minimum(first, best)
        outlier = first < floor.mean(1) - 2 * floor.std(1, ddof=1)
        for rule, claimed in zip(cost, (lower, outlier, *compared(base, tried)), strict=True):
            claims[rule] += claimed
    judged = np.full(sessions, ideas)
    return {rule: Played(judged, claims[rule], own + each * judged) for rule, (own, each) in cost.items()}


def compared(base: Floats, tried: Floats) -> tuple[Bools, Bools]:
    """Whether Welch's one-sided p is below .05, and whether Cohen's d is at least .5, for every row of two arms."""
    gain = base.mean(1) - tried.mean(1)
    m, n = base.shape[1], tried.shape[1]
    one, two = base.var(1, ddof=1) / m, tried.var(1, ddof=1) / n
    freedom = (one + two) ** 2 / (one**2 / (m - 1) + two**2 / (n - 1))
    pooled = np.sqrt(((m - 1) * m * one + (n - 1) * n * two) / (m + n - 2))
    return stdtr(freedom, -gain / np.sqrt(one + two)) < 0.05, gain / pooled >= 0.5
