"""How often the verdict's rule is right, by simulation; `python -m benchmarks.verdict` prints every figure.

Unit: sigma, the sd of one run. rho: correlation of the two arms at the same seed. Noise is normal unless
said. The bounds, gates and the table of causes are those of `agents.statistics`; `confirmed` and `screened`
are its `confirm` and `screen` for many versions at once, and the tests hold them equal.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from agents.statistics import (
    BOUNDARIES,
    MAX_ATTEMPTS,
    SCREEN,
    Evidence,
    Look,
    confirm,
    equal_time,
    interval,
    judge,
    noise_floor,
    ratio_interval,
    smallest_provable_effect,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
FLOOR, PAIRS, IDEAS = 8, 16, 60


def t_statistics(differences: Floats) -> Floats:
    """The paired t of every row."""
    n = differences.shape[1]
    return np.asarray(differences.mean(1) * math.sqrt(n) / differences.std(1, ddof=1))


def confirmed(differences: Floats, boundaries: Sequence[Look]) -> tuple[Bools, NDArray[np.int_]]:
    """For every row of [versions, 16]: whether `confirm` ends in a win, and the pairs it took."""
    versions = len(differences)
    running, won = np.ones(versions, bool), np.zeros(versions, bool)
    pairs = np.zeros(versions, int)
    for look in boundaries:
        t = t_statistics(differences[:, : look.n])
        pairs[running] = look.n
        won |= running & (t > look.win)
        running &= ~won & (t >= (math.inf if look.stop is None else look.stop))
    return won, pairs


def screened(gains: Floats, sigma: Floats) -> tuple[Bools, NDArray[np.int_]]:
    """For every row of [versions, 4]: whether `screen` lets it on, and the experiment runs it took."""
    alive, runs = np.ones(len(gains), bool), np.zeros(len(gains), int)
    for gate in SCREEN:
        seen = gains[:, : gate.n]
        runs[alive] = gate.n
        alive &= (seen.mean(1) >= gate.mean * sigma) | (t_statistics(seen) >= gate.t)
    return alive, runs


def arms(rng: np.random.Generator, versions: int, pairs: int, gain: float, rho: float) -> tuple[Floats, Floats]:
    """Losses of both arms, [versions, pairs] each: sd 1, correlation rho, the experiment lower by `gain`."""
    shared, own, other = rng.standard_normal((3, versions, pairs))
    mix = math.sqrt(1 - rho)
    return math.sqrt(rho) * shared + mix * own, math.sqrt(rho) * shared + mix * other - gain


def size(rng: np.random.Generator, versions: int = 400_000) -> Iterable[list[Any]]:
    """False victories of one confirmation of a useless version."""

    def share(differences: Floats, name: str) -> list[Any]:
        return [name] + [f"{100 * confirmed(differences, BOUNDARIES[key])[0].mean():.2f} %" for key in BOUNDARIES]

    shape = (versions, PAIRS)
    yield share(rng.standard_normal(shape), "normal noise")
    base, noise = rng.standard_normal((2, *shape))
    yield share(base - 2 * noise, "the experiment's noise doubled")
    yield share(base - rng.standard_t(4, shape) / math.sqrt(2), "the experiment's noise heavy-tailed (t, 4 df)")
    skewed = rng.exponential(1.0, shape) - 1
    yield share(base - skewed, "the experiment's noise right-skewed (exponential)")
    yield share(base - 2 * skewed, "... and doubled")
    yield share(0.3 * base - skewed, "... and the baseline's nearly none")


def power(rng: np.random.Generator, versions: int = 60_000) -> Iterable[list[Any]]:
    """Power and cost of the confirmation alone and with the screen before it."""
    for rho in (0.0, 0.5, 0.9):
        for gain in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
            floor, tried = arms(rng, versions, FLOOR, gain, rho)
            alive, runs = screened((floor - tried)[:, :4], floor.std(1, ddof=1))
            won, pairs = confirmed(np.subtract(*arms(rng, versions, PAIRS, gain, rho)), BOUNDARIES["standard"])
            whole = runs + alive * 2 * pairs
            alone = f"{won.mean():.3f}", f"{pairs.mean():.1f}"
            both = f"{(alive & won).mean():.3f}", f"{whole.mean():.1f}"
            yield [rho, gain, *alone, f"{alive.mean():.3f}", *both]


def provable(rng: np.random.Generator, versions: int = 200_000) -> Iterable[list[Any]]:
    """What `smallest_provable_effect` promises, and the power that is had there (sd of a difference = 1)."""
    for key, looks in BOUNDARIES.items():
        effect = smallest_provable_effect(1.0, looks)
        won, _ = confirmed(rng.standard_normal((versions, looks[-1].n)) + effect, looks)
        yield [key, f"{effect:.3f}", f"{won.mean():.3f}"]


def inflation(rng: np.random.Generator, versions: int = 200_000) -> Iterable[list[Any]]:
    """The mean gain at the look that won, over the true one, independent arms."""
    for gain in (1.0, 1.5, 2.0, 3.0):
        differences = np.subtract(*arms(rng, versions, PAIRS, gain, 0.0))
        won, pairs = confirmed(differences, BOUNDARIES["standard"])
        seen = differences.cumsum(1)[np.arange(versions), pairs - 1] / pairs
        yield [gain, f"{seen[won].mean() / gain:.2f}"]


def sessions(rng: np.random.Generator, count: int = 10_000) -> Iterable[list[Any]]:
    """Sessions of 60 useless ideas: how many claim a victory, and the mean number of claims."""
    for name, overfit in (
        ("the rule", 0.0),
        ("the rule, every idea overfits the visible split by 3 sigma", 3.0),
    ):
        for rho in (0.0, 0.9):
            mix, root = math.sqrt(1 - rho), math.sqrt(rho)
            shared, bank_shared = rng.standard_normal((count, FLOOR)), rng.standard_normal((count, PAIRS))
            floor = root * shared + mix * rng.standard_normal((count, FLOOR))
            bank = root * bank_shared + mix * rng.standard_normal((count, PAIRS))
            attempts, claims = np.zeros(count, int), np.zeros(count, int)
            for _ in range(IDEAS):
                tried = root * shared[:, :4] + mix * rng.standard_normal((count, 4)) - overfit
                alive, _ = screened(floor[:, :4] - tried, floor.std(1, ddof=1))
                go = np.flatnonzero(alive & (attempts < MAX_ATTEMPTS) & (claims == 0))
                attempts[go] += 1
                hidden = root * bank_shared[go] + mix * rng.standard_normal((len(go), PAIRS))
                claims[go] += confirmed(bank[go] - hidden, BOUNDARIES["standard"])[0]
            yield [f"{name}, rho {rho:g}", f"{100 * (claims > 0).mean():.2f} %", f"{claims.mean():.3f}"]
    for name, claims in rivals(rng, count).items():
        yield [name, f"{100 * (claims > 0).mean():.2f} %", f"{claims.mean():.3f}"]


def rivals(rng: np.random.Generator, count: int) -> dict[str, NDArray[np.int_]]:
    """Claims a session that other rules make of 60 useless ideas; 5 baseline runs serve the whole session."""
    base, floor = rng.standard_normal((count, 5)), rng.standard_normal((count, FLOOR))
    best = rng.standard_normal(count)
    names = (
        "keep if lower (one run each)",
        "2 sigma below the floor (one run)",
        "Welch 5 v 3 at .05",
        "d >= .5, 5 v 3",
    )
    claims = {name: np.zeros(count, int) for name in names}
    for _ in range(IDEAS):
        tried = rng.standard_normal((count, 3))
        lower = tried[:, 0] < best
        best = np.where(lower, tried[:, 0], best)
        outlier = tried[:, 0] < floor.mean(1) - 2 * floor.std(1, ddof=1)
        gain = base.mean(1) - tried.mean(1)
        one, two = base.var(1, ddof=1) / 5, tried.var(1, ddof=1) / 3
        freedom = (one + two) ** 2 / (one**2 / 4 + two**2 / 2)
        welch = stdtr(freedom, -gain / np.sqrt(one + two)) < 0.05
        cohen = gain / np.sqrt((4 * 5 * one + 2 * 3 * two) / 6) >= 0.5
        for name, claimed in zip(names, (lower, outlier, welch, cohen), strict=True):
            claims[name] += claimed
    return claims


def visible(rng: np.random.Generator, versions: int = 1_500) -> Iterable[list[Any]]:
    """What the visible split alone may say: rows 7 and 8 by the number of pairs and the kind of interval."""
    for rho in (0.0, 0.5, 0.9):
        for pairs, pooled in ((2, False), (2, True), (4, False), (4, True), (8, False)):
            shares = []
            for gain in (-2.0, 0.0, 1.0):
                rows: Counter[int] = Counter()
                for baseline, tried in zip(*arms(rng, versions, FLOOR, gain, rho), strict=True):
                    floor = noise_floor(baseline.tolist())
                    gains = (baseline - tried)[:pairs].tolist()
                    effect = interval(gains, 0.90, floor if pooled else None)
                    rows[judge(Evidence(sigma=floor.std, visible_effect=effect)).row] += 1
                shares += [f"{100 * (rows[7] + rows[8]) / versions:.0f} %"]
            yield [rho, pairs, "pooled with the floor" if pooled else "own", *shares]


def measure(
    rng: np.random.Generator, gain: float, slowdown: float = 1.0, hidden: float | None = None, **known: Any
) -> Evidence:
    """The evidence of one version: floor, 8 visible pairs, 4 timing pairs, kappa, and the hidden answer."""
    baseline, tried = arms(rng, 1, FLOOR, gain, RHO)
    gains = (baseline - tried)[0].tolist()
    effect = interval(gains, 0.90)
    clock = np.exp(0.01 * rng.standard_normal(4))
    speed = ratio_interval((slowdown * clock).tolist(), np.exp(0.01 * rng.standard_normal(4)).tolist())
    answer = None
    if hidden is not None:
        differences = np.subtract(*arms(rng, 1, PAIRS, hidden, RHO))[0].tolist()
        decisions = [confirm(differences[: look.n], BOUNDARIES["standard"]) for look in BOUNDARIES["standard"]]
        answer = next(decision for decision in decisions if decision != "more")
    facts: dict[str, Any] = {
        "sigma": noise_floor(baseline[0].tolist()).std,
        "visible_effect": effect,
        "speed_ratio": speed,
        "memory_ratio": 1.1,
        "equal_time_effect": equal_time(effect, speed, KAPPA),
        "confirmation": answer,
        "differences": tuple(gains),
    }
    return Evidence(**facts | known)


RHO, KAPPA = 0.9, 10.0
ERROR = math.sqrt(2 * (1 - RHO) / FLOOR)
"""Standard error of the mean of 8 pairs."""
CLOCK = math.hypot(ERROR, KAPPA * 0.01 / math.sqrt(2))
"""Standard error of the equal-time gain."""


def causes(rng: np.random.Generator, versions: int = 600) -> Iterable[list[Any]]:
    """The confusion matrix of `judge`: injected truth against the row that was returned."""
    for far in (3.0, 4.0, 5.0):
        e, slow = far * ERROR, math.exp((far * CLOCK + 2.0) / KAPPA)
        truths: list[tuple[str, set[int], dict[str, Any]]] = [
            ("harmful", {7}, {"gain": -e}),
            ("no useful effect", {7, 8}, {"gain": 0.5 - e}),
            ("slower than it is better", {4}, {"gain": 2.0, "slowdown": slow}),
            ("slower, confirmed", {4}, {"gain": 2.0, "slowdown": slow, "hidden": 2.0}),
            ("over memory", {4}, {"gain": e, "memory_ratio": 2.5}),
            ("overfit", {9}, {"gain": 0.5 + e, "hidden": 0.0}),
            ("real, as fast", {5}, {"gain": e + 0.5, "hidden": e + 0.5}),
            ("real, slower, not retrained", {6}, {"gain": 2.0, "hidden": 2.0, "slowdown": 1.1}),
            (
                "real, slower, retrained",
                {5},
                {"gain": 2.0, "hidden": 2.0, "slowdown": 1.1, "retrained": True},
            ),
        ]
        if far == 3.0:
            truths += [
                ("dead flag", {1}, {"gain": 2.0, "dead_flag": True}),
                ("regression failed", {1}, {"gain": 2.0, "regression_failed": True}),
                ("causality failed", {1}, {"gain": 2.0, "causality_failed": True}),
                ("crash", {2}, {"gain": 2.0, "experiment_failure": "crash"}),
                (
                    "two seeds diverge",
                    {3},
                    {"gain": 0, "experiment_failure": "diverged_late", "diverged_seeds": 2},
                ),
                ("half a sigma, budget ended", {10}, {"gain": 0.5, "budget_ended": True}),
            ]
        for name, right, truth in truths:
            rows = Counter(judge(measure(rng, **truth)).row for _ in range(versions))
            share = sum(rows[row] for row in right) / versions
            yield [name, far, f"{100 * share:.1f} %", *(rows[row] for row in range(1, 11))]


def table(title: str, head: Sequence[str], rows: Iterable[list[Any]]) -> None:
    """Print one Markdown table."""
    print(f"\n### {title}\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def main() -> None:
    """Print every table; the seed is fixed, so the figures are the same each time."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    table("False victories of one confirmation", ["a useless version with", *BOUNDARIES], size(rng))
    head = [
        "rho",
        "gain / sigma",
        "confirmation: power",
        "pairs",
        "screen: let on",
        "both: power",
        "runs after the floor",
    ]
    table("Power and cost", head, power(rng))
    head = ["bounds", "smallest provable effect / sd of a difference", "power there"]
    table("Promise", head, provable(rng))
    table("Inflation at the winning look", ["gain / sigma", "seen / true"], inflation(rng))
    table("Sessions of 60 useless ideas", ["rule", "sessions with a false victory", "claims"], sessions(rng))
    head = ["rho", "visible pairs", "variance", "gain -2 sigma", "gain 0", "gain +1 sigma (an error)"]
    table("Called harmful or useless (rows 7, 8) from the visible split", head, visible(rng))
    head = ["injected", "separation / standard errors", "right", *(f"row {row}" for row in range(1, 11))]
    table(f"Causes: 8 visible pairs, rho {RHO}, kappa {KAPPA:g} sigma", head, causes(rng))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
