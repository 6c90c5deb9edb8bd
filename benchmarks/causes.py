"""How often `agents.statistics.judge` names the right cause: injected truths against the rows that it returns.

No interval of 4 pairs does better: with 3 degrees of freedom, what is called 1 time in 10 on the line is called 9
times in 10 at 3 standard errors; even a known variance gives 95 against 5 there only at 3.3.

Every version is measured as a session measures it: 4 pairs of the visible split, 4 timing pairs, kappa from 2
stretched runs, and a baseline that is trained as long where the rule asks for it. Units as in `benchmarks.verdict`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.special import stdtrit

from agents.false_wins import FLOOR, Floats, Noise
from agents.statistics import (
    BOUNDARIES,
    FREE_SLOWDOWN,
    LEVEL,
    USEFUL,
    Evidence,
    confirm,
    equal_time,
    interval,
    judge,
    kappa,
    kappa_margin,
    near_zero,
    noise_floor,
    ratio_interval,
)

RHO, KAPPA, CLOCK, PAIRS = 0.9, 10.0, 0.01, 4
"""Correlation of the arms, what compute buys (sigma), the spread of one step time, visible and timing pairs."""
STRETCH = 1.25
PAIR = math.sqrt(2 * (1 - RHO))
"""The sd of a paired difference."""
ERROR = PAIR / math.sqrt(PAIRS)
"""The standard error of the gain at equal tokens."""
LINE = USEFUL / math.sqrt(2 * (FLOOR - 1))
"""The standard error of half a sigma, which 8 runs measure."""
VISIBLE = ["rho", "pairs", "variance"]
VISIBLE += [
    f"{what}, {level}" for level in ("90 %", "80 %") for what in ("on the line", "3 errors away", "+1 sigma lost")
]
HEAD = ["injected", "errors away", "right", "wrong"] + [f"row {row}" for row in range(1, 11)]


def visible(rng: np.random.Generator, versions: int = 100_000) -> Iterable[list[Any]]:
    """What an interval of the visible split calls: a gain of 0, which no call fits, and one 3 standard errors away.

    The last is a real gain of 1 sigma that is called useless.
    """
    for rho in (0.0, 0.5, 0.9):
        noise = Noise(rng.standard_normal, rho)
        floor, tried = noise.pairs(versions, FLOOR)
        differences, sigma = floor - tried, floor.std(1, ddof=1)
        for pairs, pooled in ((2, False), (2, True), (4, False), (4, True), (8, False)):
            seen = differences[:, :pairs]
            away = 3 * math.sqrt(2 * (1 - rho) / pairs)
            shares = []
            for level in (0.90, LEVEL):
                half = _half_width(seen, sigma, level, pooled)
                on, off = (seen.mean(1) > half).mean(), (seen.mean(1) + away > half).mean()
                lost = (seen.mean(1) + 1 + half < USEFUL * sigma).mean()
                shares += [f"{100 * share:.1f} %" for share in (on, off, lost)]
            yield [rho, pairs, "pooled with the floor" if pooled else "own", *shares]


def _half_width(seen: Floats, sigma: Floats, level: float, pooled: bool) -> Floats:
    """`interval`'s half-width for every row."""
    n = seen.shape[1]
    freedom, squares = n - 1, (n - 1) * seen.var(1, ddof=1)
    if pooled:
        freedom, squares = freedom + FLOOR - 1, squares + (FLOOR - 1) * 2 * sigma**2
    return np.asarray(stdtrit(freedom, (1 + level) / 2) * np.sqrt(squares / freedom / n))


def measure(
    rng: np.random.Generator, gain: float, slowdown: float = 1.0, hidden: float | None = None, **known: Any
) -> Evidence:
    """The evidence of one version that gains this at equal tokens; None for `hidden`: not confirmed yet."""
    shared = math.sqrt(RHO) * rng.standard_normal(FLOOR)
    baseline, tried, longer, stretched = shared + math.sqrt(1 - RHO) * rng.standard_normal((4, FLOOR))
    gains = (baseline - tried + gain)[:PAIRS].tolist()
    effect = interval(gains, LEVEL)
    clock = np.exp(CLOCK * rng.standard_normal((2, PAIRS)))
    speed = ratio_interval((slowdown * clock[0]).tolist(), clock[1].tolist())
    bought = (stretched - KAPPA * math.log(STRETCH))[:2].tolist()
    worth = kappa(baseline[:2].tolist(), bought, "min", STRETCH)
    floor = noise_floor(baseline.tolist())
    timed = equal_time(effect, speed, worth, kappa_margin(floor, 2, STRETCH))
    answer = None if hidden is None else _answer(rng, hidden)
    slower = speed.mean > FREE_SLOWDOWN
    retrained = slower and timed is not None and (answer == "win" or near_zero(timed, PAIRS))
    if retrained:
        as_long = (longer - KAPPA * math.log(speed.mean))[:PAIRS]
        unsure = speed.model_copy(update={"mean": 1.0, "low": speed.low / speed.mean, "high": speed.high / speed.mean})
        timed = equal_time(interval((as_long - tried[:PAIRS] + gain).tolist(), LEVEL), unsure, worth)
    facts: dict[str, Any] = {
        "sigma": floor.std,
        "visible_effect": effect,
        "speed_ratio": speed,
        "memory_ratio": 1.1,
        "equal_time_effect": timed if slower else None,
        "kappa": worth,
        "retrained": retrained,
        "confirmation": answer,
        "differences": tuple(gains),
    }
    return Evidence(**facts | known)


def _answer(rng: np.random.Generator, hidden: float) -> str:
    """What the confirmation says of a gain on the hidden split."""
    looks = BOUNDARIES["standard"]
    differences = (hidden + PAIR * rng.standard_normal(looks[-1].n)).tolist()
    decisions = (confirm(differences[: look.n], looks) for look in looks)
    return next(decision for decision in decisions if decision != "more")


def slowdown(errors: float) -> float:
    """The step-time ratio that leaves a gain of 2 sigma so many standard errors below 0 at equal time.

    The error is that of the gain and of the ratio, with a baseline that is trained as long.
    """
    error = math.hypot(ERROR, KAPPA * CLOCK * math.sqrt(2 / PAIRS))
    return math.exp((2.0 + errors * error) / KAPPA)


def truths(far: float) -> list[tuple[str, set[int], dict[str, Any]]]:
    """What is injected, the rows with its outcome and cause, and the facts, so many standard errors off the line."""
    e, slow = far * ERROR, slowdown(far)
    real = USEFUL + e
    return [
        ("harmful", {7, 8}, {"gain": -e}),
        ("no useful effect", {7, 8}, {"gain": USEFUL - far * math.hypot(ERROR, LINE)}),
        ("slower than it is better", {4}, {"gain": 2.0, "slowdown": slow}),
        ("slower, confirmed", {4}, {"gain": 2.0, "slowdown": slow, "hidden": 2.0}),
        ("over memory", {4}, {"gain": e, "memory_ratio": 2.5}),
        ("overfit", {9}, {"gain": real, "hidden": 0.0}),
        ("real, as fast", {5}, {"gain": real, "hidden": max(real, 1.5)}),
        ("real, slower", {5}, {"gain": 2.0, "hidden": 2.0, "slowdown": slowdown(-far)}),
    ]


CERTAIN: list[tuple[str, set[int], dict[str, Any]]] = [
    ("dead flag", {1}, {"gain": 2.0, "dead_flag": True}),
    ("regression failed", {1}, {"gain": 2.0, "regression_failed": True}),
    ("causality failed", {1}, {"gain": 2.0, "causality_failed": True}),
    ("crash", {2}, {"gain": 2.0, "experiment_failure": "crash"}),
    ("two seeds diverge", {3}, {"gain": 0.0, "experiment_failure": "diverged_late", "diverged_seeds": 2}),
]
ON_THE_LINE: list[tuple[str, set[int], dict[str, Any]]] = [
    ("half a sigma", {10}, {"gain": USEFUL}),
    ("1 sigma, not confirmed yet", {10}, {"gain": 1.0}),
    ("nothing, over memory", {7, 8, 10}, {"gain": 0.0, "memory_ratio": 2.5}),
    ("nothing left at equal time", {10}, {"gain": 2.0, "slowdown": slowdown(0.0)}),
]


def matrix(rng: np.random.Generator, versions: int = 1_000) -> Iterable[list[Any]]:
    """The confusion matrix; wrong: a win or a loss that is not the injected one, so that "inconclusive" is neither."""
    near = [("", *truth) for truth in CERTAIN + ON_THE_LINE]
    far = [(f"{errors:g}", *truth) for errors in (3.0, 4.0, 5.0) for truth in truths(errors)]
    for away, name, right, truth in near + far:
        verdicts = [judge(measure(rng, **truth)) for _ in range(versions)]
        rows = Counter(verdict.row for verdict in verdicts)
        share = sum(rows[row] for row in right) / versions
        wrong = sum(verdict.row not in right and verdict.outcome != "inconclusive" for verdict in verdicts) / versions
        yield [name, away, f"{100 * share:.1f} %", f"{100 * wrong:.1f} %", *(rows[row] for row in range(1, 11))]
