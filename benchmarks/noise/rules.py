"""How often each rule calls a victory where there is none, and what a real one costs: sessions drawn from real runs.

A useless idea is an arm of the same code. Unpaired, every run of a session is any of the base's; paired, every pair is
any seed's twins, either of them the experiment, by a coin. What is drawn is put back, which moves the size of a
confirmation on normal noise from 0.33 to 0.35 % with 60 seeds and to 0.39 % with 24.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import stdtr

from agents.statistics import BOUNDARIES, SCREEN, confirm, screen
from benchmarks.noise.arms import SHARES
from benchmarks.noise.study import Floats, Study, averaged, hidden, joined, visible

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
    base, tried = session.floor[:5], session.screened[:3]
    one, two = base.var(ddof=1) / 5, tried.var(ddof=1) / 3
    if one + two == 0:
        return Outcome(bool(tried.mean() < base.mean()), 3)
    freedom = (one + two) ** 2 / (one**2 / 4 + two**2 / 2)
    return Outcome(bool(stdtr(freedom, (tried.mean() - base.mean()) / math.sqrt(one + two)) < 0.05), 3)


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
    seeds, first = rng.integers(pool.hidden.shape[1], size=FLOOR + PAIRS), rng.integers(2, size=FLOOR + PAIRS)
    (floor, bank), (screened, confirmed) = (
        (pool.visible[arm[:FLOOR], seeds[:FLOOR]], pool.hidden[arm[FLOOR:], seeds[FLOOR:]])
        for arm in (first, 1 - first)
    )
    return Session(floor, screened, bank, confirmed)


def unpaired(pool: Noise, rng: np.random.Generator) -> Session:
    """A session whose runs share nothing: each is any of the base's."""
    floor, screened = rng.choice(pool.visible[0], (2, FLOOR))
    bank, confirmed = rng.choice(pool.hidden[0], (2, PAIRS))
    return Session(floor, screened, bank, confirmed)


def false_wins(studies: list[Study], sessions: int) -> Iterator[list[Any]]:
    """Shares of useless ideas that each rule calls a victory."""
    columns = []
    for study in studies:
        pool = twins(study)
        for draw in (unpaired, paired):
            rng = np.random.default_rng(0)
            drawn = [draw(pool, rng) for _ in range(sessions)]
            shares = [np.mean([rule(session).claimed for session in drawn]) for rule in RULES.values()]
            columns.append([f"{100 * share:.2f} %" for share in shares])
    for name, cells in zip(RULES, zip(*columns, strict=True), strict=True):
        yield [name, *cells]


def better(session: Session, gain: float) -> Session:
    """The session with an experiment that is lower by `gain` everywhere."""
    return session._replace(screened=session.screened - gain, confirmed=session.confirmed - gain)


GAINS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
"""True gains, in sigmas of the hidden loss, whose cost is told."""


def power(studies: list[Study], sessions: int) -> Iterator[list[Any]]:
    """How often Circle's rule finds a gain, and the mean runs that it takes; the gain is the same by every measure."""
    rule = RULES["Circle's rule"]
    for study in studies:
        plain = twins(study)
        sigma = float(plain.hidden[0].std(ddof=1))
        for name, draw, measure in (
            ("unpaired", unpaired, hidden),
            ("paired", paired, hidden),
            ("paired, twice the validation set", paired, joined),
            (f"paired, average of the last {100 * SHARES[0]:.0f} %", paired, averaged(0)),
        ):
            pool, cells = plain._replace(hidden=study.pairs("twin", measure)), []
            for gain in GAINS:
                rng = np.random.default_rng(0)
                found = [rule(better(draw(pool, rng), gain * sigma)) for _ in range(sessions)]
                share, runs = np.mean([[outcome.claimed, outcome.runs] for outcome in found], axis=0)
                cells.append(f"{share:.2f} / {runs:.0f}")
            yield [study.preset, name, *cells]
