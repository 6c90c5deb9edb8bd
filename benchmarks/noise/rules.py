"""How often each rule calls a victory where there is none, and what a real one costs: sessions drawn from real runs.

A useless idea is an arm of the same code: other seeds of the base (unpaired), or the twins (paired, either
of the two being the experiment, by a coin). A session draws seeds without repeating one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import ttest_ind

from agents.statistics import BOUNDARIES, SCREEN, confirm, screen
from benchmarks.noise.study import Floats, Study, hidden, visible

Confidence = Literal["standard", "relaxed"]
FLOOR, PAIRS = 8, BOUNDARIES["standard"][-1].n
SCREENED = SCREEN[-1].n


class Session(NamedTuple):
    """Losses of a session's runs: the floor and the screen's on the visible split, the confirmation's on the hidden."""

    floor: Floats  # [FLOOR]
    screened: Floats  # [FLOOR]: the experiment's; in pairs with the floor's, or of other seeds
    bank: Floats  # [PAIRS]
    confirmed: Floats  # [PAIRS]


class Outcome(NamedTuple):
    """What a rule made of a session: whether it claimed a victory, and the runs it took after the floor."""

    claimed: bool
    runs: int


Rule = Callable[[Session], Outcome]


def circle(confidence: Confidence, screens: bool = True) -> Rule:
    """Circle's rule, with its screen or from the confirmation on."""
    looks = BOUNDARIES[confidence]

    def rule(session: Session) -> Outcome:
        runs = 0
        if screens:
            gains, sigma = (session.floor - session.screened)[:SCREENED].tolist(), float(session.floor.std(ddof=1))
            for gate in SCREEN:
                runs = gate.n
                if screen(gains[: gate.n], sigma) == "drop":
                    return Outcome(False, runs)
        differences = (session.bank - session.confirmed).tolist()
        for look in looks:
            decision = confirm(differences[: look.n], looks)
            if decision != "more":
                return Outcome(decision == "win", runs + 2 * look.n)
        raise AssertionError("the last look decides")

    return rule


def lower(session: Session) -> Outcome:
    """Keep if lower: one run each."""
    return Outcome(bool(session.screened[0] < session.floor[0]), 1)


def two_sigma(session: Session) -> Outcome:
    """One run more than two standard deviations below the floor's mean."""
    return Outcome(bool(session.screened[0] < session.floor.mean() - 2 * session.floor.std(ddof=1)), 1)


def welch(session: Session) -> Outcome:
    """Welch's one-sided t of 5 baseline runs against 3 at .05."""
    found = ttest_ind(session.floor[:5], session.screened[:3], equal_var=False, alternative="greater")
    return Outcome(bool(found.pvalue < 0.05), 3)


def cohen(session: Session) -> Outcome:
    """Cohen's d of 5 baseline runs against 3 at least one half."""
    base, tried = session.floor[:5], session.screened[:3]
    pooled = math.sqrt((4 * base.var(ddof=1) + 2 * tried.var(ddof=1)) / 6)
    return Outcome(bool(base.mean() - tried.mean() >= 0.5 * pooled), 3)


RULES: dict[str, Rule] = {
    "Circle's rule": circle("standard"),
    "Circle's rule, relaxed": circle("relaxed"),
    "its confirmation alone": circle("standard", screens=False),
    "its confirmation alone, relaxed": circle("relaxed", screens=False),
    "keep if lower (one run each)": lower,
    "2 sigma below the floor (one run)": two_sigma,
    "Welch 5 v 3 at .05": welch,
    "d >= .5, 5 v 3": cohen,
}


class Noise(NamedTuple):
    """The same code twice at every seed, [2, seeds] each; unpaired, only the first row is drawn from."""

    visible: Floats
    hidden: Floats


def twins(study: Study) -> Noise:
    """Base and twin of a study."""
    return Noise(study.pairs("twin", visible), study.pairs("twin", hidden))


def paired(pool: Noise, rng: np.random.Generator) -> Session:
    """A session whose arms share their seeds."""
    seeds = rng.permutation(pool.hidden.shape[1])[: FLOOR + PAIRS]
    first = rng.integers(2, size=len(seeds))
    floor, bank = slice(FLOOR), slice(FLOOR, None)
    one, other = (pool.visible[first, seeds], pool.visible[1 - first, seeds])
    three, four = (pool.hidden[first, seeds], pool.hidden[1 - first, seeds])
    return Session(one[floor], other[floor], three[bank], four[bank])


def unpaired(pool: Noise, rng: np.random.Generator) -> Session:
    """A session whose arms share nothing; with few seeds those of the screen and of the confirmation overlap."""
    count = pool.hidden.shape[1]
    screened, confirmed = rng.permutation(count), rng.permutation(count)
    if count >= 2 * FLOOR + 2 * PAIRS:
        confirmed = screened[2 * FLOOR :]
    seen, held = pool.visible[0], pool.hidden[0]
    return Session(
        seen[screened[:FLOOR]],
        seen[screened[FLOOR : 2 * FLOOR]],
        held[confirmed[:PAIRS]],
        held[confirmed[PAIRS : 2 * PAIRS]],
    )


def false_wins(studies: list[Study], sessions: int) -> Iterator[list[Any]]:
    """Shares of useless ideas that each rule calls a victory."""
    for name, rule in RULES.items():
        cells = []
        for study in studies:
            pool = twins(study)
            for draw in (unpaired, paired):
                rng = np.random.default_rng(0)
                share = sum(rule(draw(pool, rng)).claimed for _ in range(sessions)) / sessions
                cells.append(f"{100 * share:.2f} %")
        yield [name, *cells]


def better(session: Session, gain: float) -> Session:
    """The session with an experiment that is lower by `gain` everywhere."""
    return session._replace(screened=session.screened - gain, confirmed=session.confirmed - gain)


def power(studies: list[Study], sessions: int) -> Iterator[list[Any]]:
    """How often Circle's rule finds a gain, and the mean runs that it takes, with and without pairs."""
    rule = RULES["Circle's rule"]
    for study in studies:
        pool = twins(study)
        sigma = float(pool.hidden[0].std(ddof=1))
        for draw in (unpaired, paired):
            cells = []
            for gain in (0.0, 0.5, 1.0, 1.5, 2.0):
                rng = np.random.default_rng(0)
                found = [rule(better(draw(pool, rng), gain * sigma)) for _ in range(sessions)]
                share, runs = np.mean([[outcome.claimed, outcome.runs] for outcome in found], axis=0)
                cells.append(f"{share:.2f} / {runs:.0f}")
            yield [study.preset, draw.__name__, *cells]
