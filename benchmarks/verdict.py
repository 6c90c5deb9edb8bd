"""How often the verdict's rule is right, by simulation; `python -m benchmarks.verdict` prints every figure.

Unit: sigma, the sd of one run. rho: correlation of the two arms at the same seed. Noise is normal unless
said. Bounds and gates are those of `agents.statistics`, played by `agents.false_wins`; the causes of a verdict
are in `benchmarks.causes`, other rules than today's in `benchmarks.candidates`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from agents.false_wins import (
    FLOOR,
    Bools,
    Floats,
    Ints,
    Noise,
    Played,
    circle,
    confirmed,
    night,
    rates,
    rivals,
    screened,
    upper,
)
from agents.statistics import ATTEMPTS, BOUNDARIES, SCREEN, confirmations_within, smallest_provable_effect
from benchmarks import candidates, causes

PAIRS, IDEAS = BOUNDARIES["standard"][-1].n, 60
Row = list[Any]


def size(rng: np.random.Generator, versions: int = 400_000) -> Iterable[Row]:
    """False victories of one confirmation of a useless version, with the bound of 95 % for normal noise."""

    def share(differences: Floats, name: str) -> Row:
        won = [int(confirmed(differences, looks)[0].sum()) for looks in BOUNDARIES.values()]
        return [name] + [f"{100 * n / versions:.2f} % (at most {100 * upper(n, versions):.2f})" for n in won]

    shape = (versions, PAIRS)
    yield share(rng.standard_normal(shape), "normal noise")
    base, noise = rng.standard_normal((2, *shape))
    yield share(base - 2 * noise, "the experiment's noise doubled")
    yield share(base - rng.standard_t(4, shape) / np.sqrt(2), "the experiment's noise heavy-tailed (t, 4 df)")
    skewed = rng.exponential(1.0, shape) - 1
    yield share(base - skewed, "the experiment's noise right-skewed (exponential)")
    yield share(base - 2 * skewed, "... and doubled")
    yield share(0.3 * base - skewed, "... and the baseline's nearly none")


def power(rng: np.random.Generator, versions: int = 60_000) -> Iterable[Row]:
    """Power and cost of the confirmation alone and with the screen before it."""
    for rho in (0.0, 0.5, 0.9):
        noise = Noise(rng.standard_normal, rho)
        for gain in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
            alive, runs = _screen(noise, versions, gain)
            won, pairs = _confirmation(noise, versions, gain)
            whole = runs + alive * 2 * pairs
            alone = f"{won.mean():.3f}", f"{pairs.mean():.1f}"
            both = f"{(alive & won).mean():.3f}", f"{whole.mean():.1f}"
            yield [rho, gain, *alone, f"{alive.mean():.3f}", *both]


def _screen(noise: Noise, versions: int, gain: float) -> tuple[Bools, Ints]:
    floor, tried = noise.pairs(versions, FLOOR)
    return screened((floor - tried + gain)[:, : SCREEN[-1].n], floor.std(1, ddof=1))


def _confirmation(noise: Noise, versions: int, gain: float) -> tuple[Bools, Ints]:
    baseline, tried = noise.pairs(versions, PAIRS)
    return confirmed(baseline - tried + gain, BOUNDARIES["standard"])


def provable(rng: np.random.Generator, versions: int = 200_000) -> Iterable[Row]:
    """What `smallest_provable_effect` promises, and the power that is had there (sd of a difference = 1)."""
    for key, looks in BOUNDARIES.items():
        effect = smallest_provable_effect(1.0, looks)
        won, _ = confirmed(rng.standard_normal((versions, looks[-1].n)) + effect, looks)
        yield [key, f"{effect:.3f}", f"{won.mean():.3f}"]


def inflation(rng: np.random.Generator, versions: int = 200_000) -> Iterable[Row]:
    """The mean gain at the look that won, over the true one, independent arms."""
    for gain in (1.0, 1.5, 2.0, 3.0):
        differences = gain + np.sqrt(2) * rng.standard_normal((versions, PAIRS))
        won, pairs = confirmed(differences, BOUNDARIES["standard"])
        seen = differences.cumsum(1)[np.arange(versions), pairs - 1] / pairs
        yield [gain, f"{seen[won].mean() / gain:.2f}"]


def sessions(rng: np.random.Generator, count: int = 20_000) -> Iterable[Row]:
    """Sessions of 60 useless ideas: how many claim a victory, the mean number of claims, and what they cost."""
    for confidence, attempts in ATTEMPTS.items():
        name = f"the rule, {confidence} ({attempts} confirmations)"
        yield _session(name, circle(Noise(rng.standard_normal), count, IDEAS, confidence))
    yield _session("the rule, rho 0.9", circle(Noise(rng.standard_normal, 0.9), count, IDEAS))
    for rho in (0.0, 0.9):
        name = f"the rule, every idea overfits the visible split by 3 sigma, rho {rho:g}"
        yield _session(name, circle(Noise(rng.standard_normal, rho), count, IDEAS, overfit=3.0))
    for rule, played in rivals(Noise(rng.standard_normal), count, IDEAS).items():
        yield _session(rule, played)


def nights(rng: np.random.Generator, count: int = 20_000) -> Iterable[Row]:
    """Campaigns of 60 useless ideas with an error budget of 5 %, as they are and where every idea overfits."""
    for confidence in BOUNDARIES:
        bought = confirmations_within(0.05, confidence)
        for overfit in (0.0, 3.0):
            name = f"{confidence}, {bought} confirmations" + ", every idea overfits by 3 sigma" * (overfit > 0)
            yield _session(name, night(Noise(rng.standard_normal), count, IDEAS, bought, confidence, overfit))


def _session(name: str, played: Played) -> Row:
    found = rates(name, played)
    share = f"{100 * found.sessions_with_a_claim:.2f} %", f"{100 * found.upper_sessions:.2f} %"
    each = f"{100 * found.claimed_per_idea:.3g} %"
    return [
        name,
        *share,
        f"{played.claims.mean():.3f}",
        each,
        f"{played.ideas.mean():.0f}",
        f"{played.runs.mean():.0f}",
    ]


def revised(rng: np.random.Generator, count: int = 20_000) -> Iterable[Row]:
    """A session whose three versions gain these, one after the other until one wins; runs without the floor."""
    for gains in ((-2.0, 0.0, 2.0), (0.0, 1.0, 1.5), (-1.0, 1.0, 3.0)):
        for rho in (0.0, 0.5):
            noise, ended, wins, runs = Noise(rng.standard_normal, rho), np.zeros(count, bool), [], np.zeros(count)
            for gain in gains:
                (alive, screens), (won, pairs) = _screen(noise, count, gain), _confirmation(noise, count, gain)
                runs += ~ended * (screens + alive * 2 * pairs)
                wins.append(f"{(~ended & alive & won).mean():.3f}")
                ended |= alive & won
            yield [rho, ", ".join(f"{gain:+g}" for gain in gains), *wins, f"{runs.mean():.0f}"]


def table(title: str, head: Sequence[str], rows: Iterable[Row]) -> None:
    """Print one Markdown table."""
    print(f"\n### {title}\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def main() -> None:
    """Print every table; the seed is fixed, so the figures are the same each time."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    table("False victories of one confirmation", ["a useless version with", *BOUNDARIES], size(rng))
    both = ["screen: let on", "both: power", "runs after the floor"]
    table("Power and cost", ["rho", "gain / sigma", "confirmation: power", "pairs", *both], power(rng))
    head = ["bounds", "smallest provable effect / sd of a difference", "power there"]
    table("Promise", head, provable(rng))
    table("Inflation at the winning look", ["gain / sigma", "seen / true"], inflation(rng))
    head = [
        "rule",
        "sessions with a false victory",
        "at most (95 %)",
        "claims",
        "claims an idea",
        "ideas judged",
        "runs",
    ]
    table(f"Sessions of {IDEAS} useless ideas", head, sessions(rng))
    head = ["rho", "gains of V1, V2, V3", "won by V1", "by V2", "by V3", "runs"]
    table("Sessions of three versions", head, revised(rng))
    table("Rules with other looks", candidates.HEAD, candidates.compared(rng))
    table("Rules that were given up", candidates.GIVEN_UP, candidates.given_up(rng))
    table("Called harmful or useless (rows 7, 8) from the visible split", causes.VISIBLE, causes.visible(rng))
    table(f"Causes: 4 visible pairs, rho {causes.RHO}", causes.HEAD, causes.matrix(rng))
    head = ["night", "with a false win", "at most (95 %)", "claims", "claims a confirmation", "confirmations", "runs"]
    table(f"Campaigns of {IDEAS} useless ideas, error budget 5 %", head, nights(np.random.default_rng(1)))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
