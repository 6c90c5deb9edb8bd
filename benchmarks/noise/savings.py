"""What would make the comparison quieter, each measured by the variance of the paired gain on the hidden split.

The pairs that a verdict needs at equal power are in proportion to that variance, so a ratio of variances is a
ratio of runs. Intervals come from drawing the seeds again with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.noise.arms import SHARES
from benchmarks.noise.rules import FLOOR
from benchmarks.noise.study import BLOCKS, Floats, Measure, Study, averaged, correlation, hidden, joined, visible

REAL = ("twin", "decay", "rope")
"""The arms that share both streams with the base: what a session compares."""
DRAWS = 2_000


def compared(study: Study) -> list[str]:
    """Those of REAL with as many pairs as a floor has runs, or more: with fewer a variance says nothing."""
    return [arm for arm in REAL if study.pairs(arm, hidden).shape[1] >= FLOOR]


class Ratio(NamedTuple):
    """A ratio with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def bootstrap(columns: Floats, statistic: Callable[[Floats], float]) -> Ratio:
    """A statistic of [rows, seeds], and of the same with the seeds drawn again."""
    rng, count = np.random.default_rng(0), columns.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):  # one seed drawn every time has no variance
        drawn = [statistic(columns[:, rng.integers(count, size=count)]) for _ in range(DRAWS)]
    return Ratio(statistic(columns), *(float(np.nanquantile(drawn, tail)) for tail in (0.025, 0.975)))


def larger(studies: list[Study]) -> Iterator[list[Any]]:
    """How much of the gain's variance is the finite split's, and what larger ones would save.

    Two estimates: by the two splits, whose gains share nothing but the seed's true one; and by the stretches of the
    hidden split, in a two-way layout of seeds and stretches whose interaction is what the text adds at random.
    """
    for study in studies:
        for arm in compared(study):
            seen, held, both = (study.gains(arm, measure) for measure in (visible, hidden, joined))
            pair = np.stack([seen, held])
            finite, twice = bootstrap(pair, finite_share), bootstrap(pair, variance_of_twice)
            text = interaction(study.blocks(arm, "hidden")) / float(held.var(ddof=1))
            yield [study.preset, arm, len(both), finite, f"{text:.2f}", twice, f"{1 - 0.75 * finite.value:.2f}"]


def finite_share(gains: Floats) -> float:
    """The split's share of the variance, from gains on two splits, [2, seeds], that share the seed's part alone."""
    return float(1 - 2 * np.cov(gains)[0, 1] / gains.var(1, ddof=1).sum())


def variance_of_twice(gains: Floats) -> float:
    """The variance of the gain over both splits as one, over that of either."""
    return float(2 * gains.mean(0).var(ddof=1) / gains.var(1, ddof=1).sum())


def interaction(blocks: Floats) -> float:
    """The variance of the mean over [seeds, BLOCKS] that comes from the stretches' own, seed by seed."""
    rest = blocks - blocks.mean(0) - blocks.mean(1, keepdims=True) + blocks.mean()
    freedom = (len(blocks) - 1) * (BLOCKS - 1)
    return float((rest**2).sum() / freedom / BLOCKS)


def averages(studies: list[Study]) -> Iterator[list[Any]]:
    """The mean of the last weights in place of the last ones: the variance of the gain, and the gain itself."""
    for study in studies:
        for arm in compared(study):
            last = study.gains(arm, hidden)
            for place, share in enumerate(SHARES):
                measure = averaged(place)
                mean = study.gains(arm, measure)
                rise = float(study.alone("base", measure).mean() - study.alone("base", hidden).mean())
                ratio = bootstrap(np.stack([last, mean]), lambda p: float(p[1].var(ddof=1) / p[0].var(ddof=1)))
                gains = f"{last.mean():+.4f} -> {mean.mean():+.4f}"
                yield [
                    study.preset,
                    arm,
                    f"{100 * share:.0f} %",
                    f"{rise:+.4f}",
                    ratio,
                    gains,
                    runs_ratio(arm, last, mean),
                ]


def runs_ratio(arm: str, plain: Floats, other: Floats) -> str:
    """Runs at equal power: the other measure's (sd / gain)^2 over the plain one's. Twins gain nothing: none."""
    if arm == "twin":
        return ""

    def ratio(gains: Floats) -> float:
        relative = gains.std(1, ddof=1) / gains.mean(1)
        return float((relative[1] / relative[0]) ** 2)

    return str(bootstrap(np.stack([plain, other]), ratio))


COVARIATES: dict[str, Measure] = {
    "training loss, last twelfth": lambda run: float(run["train"][-1]),
    "training loss, last quarter": lambda run: float(np.mean(run["train"][-3:])),
    "visible split at half of the run": lambda run: float(run["evaluations"][3]),
    "visible split at five sixths": lambda run: float(run["evaluations"][5]),
    "visible split at the end": visible,
}


def slope(covariate: Floats, gains: Floats) -> float:
    """The least-squares slope of gains on a covariate."""
    centred = covariate - covariate.mean()
    return float(centred @ gains / (centred @ centred))


def unexplained(covariate: Floats, gains: Floats) -> float:
    """The share of the gains' variance that a line fitted to the other seeds leaves (leave one out)."""
    errors, around = [], []
    for seed in range(len(gains)):
        rest = np.arange(len(gains)) != seed
        line = gains[rest].mean() + slope(covariate[rest], gains[rest]) * (covariate[seed] - covariate[rest].mean())
        errors.append(gains[seed] - line)
        around.append(gains[seed] - gains[rest].mean())
    return float(np.square(errors).sum() / np.square(around).sum())


def controls(studies: list[Study]) -> Iterator[list[Any]]:
    """Control variates from the paired curves, with the slope found on the twins, for which they must vanish.

    Their mean is known (0) only if the change does nothing; what the change does to them is taken off its gain.
    """
    for study in studies:
        for name, measure in COVARIATES.items():
            covariate, gains = study.gains("twin", measure), study.gains("twin", hidden)
            beta = slope(covariate, gains)
            cells = [f"{unexplained(covariate, gains):.2f}"]
            for arm in REAL[1:]:
                if arm not in compared(study):
                    cells += ["", ""]
                    continue
                plain = study.gains(arm, hidden)
                adjusted = plain - beta * study.gains(arm, measure)
                ratio = adjusted.var(ddof=1) / plain.var(ddof=1)
                cells += [f"{ratio:.2f}", f"{plain.mean():+.4f} -> {adjusted.mean():+.4f}"]
            yield [study.preset, name, f"{beta:.2f}", *cells]


def shrunk(base: Floats, tried: Floats, mean: float) -> float:
    """The gain of `tried` over a baseline whose mean is known from more runs, by the regression on its pairs.

    Slope 1 is the plain paired mean. Unbiased whatever the change does, for the baseline's runs know nothing of it.
    """
    return float(mean - tried.mean() + slope(base, tried) * (base.mean() - mean))


def banks(studies: list[Study]) -> Iterator[list[Any]]:
    """The variance of the mean gain after n pairs, the regression on a bank of baselines over the plain mean.

    The bank holds the n baselines and the floor's 8, which would have to be evaluated on the hidden split too.
    """
    rng = np.random.default_rng(0)
    for study in studies:
        for arm in compared(study):
            pairs, cells = study.pairs(arm, hidden), []
            for n in (6, 10, 16):
                plain, regressed = [], []
                for _ in range(DRAWS):
                    drawn = pairs[:, rng.integers(pairs.shape[1], size=n)]
                    more = pairs[0, rng.integers(pairs.shape[1], size=FLOOR)]
                    plain.append(drawn[0].mean() - drawn[1].mean())
                    regressed.append(shrunk(drawn[0], drawn[1], float(np.append(drawn[0], more).mean())))
                cells.append(f"{np.var(regressed) / np.var(plain):.2f}")
            yield [study.preset, arm, f"{correlation(pairs).sd:+.2f}", *cells]
