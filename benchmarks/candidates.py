"""Rules that could have been the verdict's, measured against today's: fewer runs at the same errors were sought.

A random search over looks, bounds, futility and gates, held to today's size and power, found these; what is kept
are rounded designs. None is used: see `compared`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from agents.false_wins import FLOOR, Bools, Floats, Ints, Noise, confirmed, screened, t_statistics
from agents.statistics import BOUNDARIES, SCREEN, USEFUL, Gate, Look

TODAY = BOUNDARIES["standard"]
LAST = 20
"""Pairs that the longest candidate takes."""
CELLS = [(rho, gain) for gain in (0.0, 1.0, 1.5, 2.0, 3.0) for rho in (0.0, 0.5, 0.9)]
HEAD = ["rule", "size", "noise doubled", "skewed, doubled", "power, at worst against today's"]
HEAD += [f"runs / today's: gain {gain}" for gain in ("0", "1", "1.5", "2", "3")] + ["most pairs"]
GIVEN_UP = ["rule", "a useless idea", "60 of them", "gain 1: power", "1.5", "2", "3", "runs at 2"]


@dataclass(frozen=True)
class Rule:
    """Looks and gates; `unpaired`: the screen's mean gain is against all 8 floor runs; `pooled`: t borrows them."""

    name: str
    looks: Sequence[Look] = TODAY
    gates: Sequence[Gate] = SCREEN
    unpaired: bool = False
    pooled: bool = False


RULES = (
    Rule("today's: 6, 10, 16"),
    Rule("a look more: 4, for futility alone", (Look(4, np.inf, 0.3), *TODAY)),
    Rule(
        "every 2 pairs from 4 to 16",
        (
            Look(4, 17.25, 0.4),
            Look(6, 6.90, 1.1),
            Look(8, 5.40, 1.5),
            Look(10, 4.75, 2.1),
            Look(12, 4.45, 2.4),
            Look(14, 4.30, 2.85),
            Look(16, 3.50, None),
        ),
    ),
    Rule(
        "9 looks from 4 to 20, screened against the whole floor",
        (
            Look(4, 15.3, 0.55),
            Look(5, 9.40, 0.83),
            Look(6, 6.60, 1.0),
            Look(8, 5.40, 1.5),
            Look(10, 4.65, 1.92),
            Look(12, 4.45, 2.44),
            Look(14, 4.15, 2.9),
            Look(17, 4.10, 3.1),
            Look(20, 3.70, None),
        ),
        (Gate(2, 0.5, 0.83), Gate(4, 0.95, 1.55)),
        unpaired=True,
    ),
    Rule("today's, screened against the whole floor", TODAY, (Gate(2, 0.5, 0.83), Gate(4, 0.95, 1.55)), unpaired=True),
    Rule(
        "today's, variance pooled with the floor's",
        (Look(6, 3.85, 1.0), Look(10, 3.69, 2.0), Look(16, 3.34, None)),
        pooled=True,
    ),
)


def compared(rng: np.random.Generator, nulls: int = 400_000, versions: int = 40_000) -> Iterable[list[Any]]:
    """Size, power and runs of every rule beside today's, power and runs with the screen, over rho 0, .5 and .9.

    More looks save most on what is useless, little on what is real, where a session's runs go; the longest costs
    more at worst. A variance that is pooled with the floor's is right only while the experiment is as noisy as
    the baseline, and gives pairing away.
    """
    baseline, noise = rng.standard_normal((2, nulls, LAST))
    floor = rng.standard_normal((nulls, FLOOR)).std(1, ddof=1)
    skewed = rng.exponential(1.0, (nulls, LAST)) - 1
    useless = [baseline - noise, baseline - 2 * noise, baseline - 2 * skewed]
    plays = {cell: _draw(rng, versions, *cell) for cell in CELLS}
    today: dict[tuple[float, float], tuple[float, float]] = {}
    for rule in RULES:
        sizes = [f"{100 * _confirmed(rule, differences, floor)[0].mean():.2f} %" for differences in useless]
        found = {cell: _played(rule, *play) for cell, play in plays.items()}
        today = today or found
        lost = min(found[cell][0] - today[cell][0] for cell in CELLS if cell[1] > 0)
        ratios = {cell: found[cell][1] / today[cell][1] for cell in CELLS}
        runs = [f"{np.mean([ratios[rho, gain] for rho in (0.0, 0.5, 0.9)]):.2f}" for gain in (0.0, 1.0, 1.5, 2.0, 3.0)]
        yield [rule.name, *sizes, f"{lost:+.3f}", *runs, rule.looks[-1].n]


def _draw(rng: np.random.Generator, versions: int, rho: float, gain: float) -> tuple[Floats, Floats, Floats]:
    """The floor, the screen's experiment runs, and the confirmation's differences."""
    noise = Noise(rng.standard_normal, rho)
    (floor, tried), (bank, hidden) = noise.pairs(versions, FLOOR), noise.pairs(versions, LAST)
    return floor, tried[:, : SCREEN[-1].n] - gain, bank - hidden + gain


def _played(rule: Rule, floor: Floats, tried: Floats, differences: Floats) -> tuple[float, float]:
    """Power and mean runs of screen and confirmation."""
    sigma = floor.std(1, ddof=1)
    alive, runs = (
        _against_floor(rule, floor, tried) if rule.unpaired else screened(floor[:, : SCREEN[-1].n] - tried, sigma)
    )
    won, pairs = _confirmed(rule, differences, sigma)
    return float((alive & won).mean()), float((runs + alive * 2 * pairs).mean())


def _against_floor(rule: Rule, floor: Floats, tried: Floats) -> tuple[Bools, Ints]:
    """The screen with the whole floor's mean instead of its first runs'; t stays paired."""
    alive, runs = np.ones(len(floor), bool), np.zeros(len(floor), int)
    for gate in rule.gates:
        runs[alive] = gate.n
        gain = floor.mean(1) - tried[:, : gate.n].mean(1)
        t = t_statistics(floor[:, : gate.n] - tried[:, : gate.n])
        alive &= (gain >= gate.mean * floor.std(1, ddof=1)) | (t >= gate.t)
    return alive, runs


def _confirmed(rule: Rule, differences: Floats, sigma: Floats) -> tuple[Bools, Ints]:
    if not rule.pooled:
        return confirmed(differences, rule.looks)

    def t(seen: Floats) -> Floats:
        n = seen.shape[1]
        squares = (n - 1) * seen.var(1, ddof=1) + (FLOOR - 1) * 2 * sigma**2
        t: Floats = seen.mean(1) * np.sqrt(n * (n + FLOOR - 2) / squares)
        return t

    return confirmed(differences, rule.looks, t)


def given_up(rng: np.random.Generator, versions: int = 60_000) -> Iterable[list[Any]]:
    """Two simpler rules, independent arms: one claims too much, the other finds too little."""
    rules: dict[str, Callable[[float], tuple[Bools, Floats]]] = {
        "8 pairs, one-sided t at .01": lambda gain: _eight(rng, versions, gain),
        "screen 2, 8 pairs above half a sigma and 7 of 8 better, twice": lambda gain: _twice(rng, versions, gain),
    }
    for name, play in rules.items():
        useless = float(play(0.0)[0].mean())
        won = {gain: play(gain) for gain in (1.0, 1.5, 2.0, 3.0)}
        powers = [f"{found.mean():.3f}" for found, _ in won.values()]
        yield [
            name,
            f"{100 * useless:.2f} %",
            f"{100 * (1 - (1 - useless) ** 60):.0f} %",
            *powers,
            f"{won[2.0][1].mean():.0f}",
        ]


def _eight(rng: np.random.Generator, versions: int, gain: float) -> tuple[Bools, Floats]:
    won = t_statistics(_differences(rng, versions, 8, gain)) > stdtrit(7, 0.99)
    return won, np.full(versions, 16.0)


def _twice(rng: np.random.Generator, versions: int, gain: float) -> tuple[Bools, Floats]:
    """A positive screen, then twice a lower bound of 99 % above half a sigma with 7 of 8 pairs better."""
    won, runs = _differences(rng, versions, 2, gain).mean(1) > 0, np.full(versions, 2.0)
    sigma = rng.standard_normal((versions, FLOOR)).std(1, ddof=1)
    for _ in range(2):
        seen = _differences(rng, versions, 8, gain)
        runs += 16 * won
        low = seen.mean(1) - stdtrit(7, 0.99) * seen.std(1, ddof=1) / np.sqrt(8)
        won &= (low > USEFUL * sigma) & ((seen > 0).sum(1) >= 7)
    return won, runs


def _differences(rng: np.random.Generator, versions: int, pairs: int, gain: float) -> Floats:
    return np.asarray(gain + np.sqrt(2) * rng.standard_normal((versions, pairs)))
