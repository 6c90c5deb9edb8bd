"""The arithmetic of a verdict: whether the experiment beats the baseline, and if it does not, why.

Units: `sigma` is the standard deviation of one run of the baseline; a gain is in the metric's own unit and
positive when it is better. Arms are compared in pairs that share a seed, which cancels what the seed decides.

The rule, in the order in which it spends runs:

1. Floor. 8 baseline runs give sigma.
2. Screen, visible split. 2 experiment runs on floor seeds, then 2 more; after each two the version is
   dropped unless its mean gain is at least 0.25, then 0.75 sigma, or the gains' own t at least 1, then 1.5.
   The second door is for pairs that vary together, where half a sigma may be plain. A screen claims nothing.
3. Confirmation, hidden split, seeds that nobody could choose (an HMAC of the session's secret). A paired t is
   looked at after 6, 10 and 16 pairs: above 5.65, 4.30 and 3.55 it wins, below 1.0 and 2.0 it stops. A group
   sequential test (Jennison & Turnbull 1999) whose bounds were found by simulation: over all looks a useless
   version wins 0.33 % of the time, so with at most 3 attempts about 1 % of sessions hold a false victory.
   The relaxed bounds triple that; the strict ones are for 5 attempts. The answer is win or refused and no
   number, so that a researcher cannot climb the hidden split (the Ladder, Blum & Hardt 2015).
4. Time. What a slower version gains at equal time is estimated from kappa. Where the estimate is within 2
   standard errors of 0, and before every win, the baseline is trained as long on the clock instead.
5. Cause. The first row of `judge`'s table that matches.

Known limits: t assumes roughly normal gains. Where only the experiment's noise is skewed towards rare bad
runs, the size is 0.7 to 3 % (report `skewness` and the worst seed). A gain at the look that won is inflated,
1.43 times at 1 sigma, 1.05 at 2 (report fresh pairs). `benchmarks/verdict.py` prints every figure here.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import Literal, NamedTuple

from agents.records import Cause, Confidence, Direction, Interval, Outcome, Verdict

Screen = Literal["more", "drop", "survives"]
Decision = Literal["more", "win", "refused"]


class Gate(NamedTuple):
    """A look of the screen: after n pairs, a mean gain in sigmas or a t; either lets a version on."""

    n: int
    mean: float
    t: float


class Look(NamedTuple):
    """A look of the confirmation: after n pairs, a t above `win` wins, one below `stop` is refused."""

    n: int
    win: float
    stop: float | None


SCREEN = (Gate(2, 0.25, 1.0), Gate(4, 0.75, 1.5))
BOUNDARIES: dict[Confidence, tuple[Look, ...]] = {
    "standard": (Look(6, 5.65, 1.0), Look(10, 4.30, 2.0), Look(16, 3.55, None)),
    "relaxed": (Look(6, 4.33, 1.0), Look(10, 3.54, 2.0), Look(16, 2.96, None)),
    "strict": (Look(6, 6.30, 1.0), Look(10, 4.70, 2.0), Look(16, 3.80, None)),
}
ATTEMPTS: dict[Confidence, int] = {"standard": 3, "relaxed": 3, "strict": 5}
"""Confirmations under one secret; their sizes add up to 1 %, relaxed to 3 %."""
ERRORS: dict[Confidence, float] = {"standard": 0.01, "relaxed": 0.03, "strict": 0.01}
"""What those sizes add up to: the most often that a session of useless ideas ends in a victory."""
LEVEL = 0.80
"""Of the visible split's intervals, which no claim rests on. With the screen's 4 pairs a quantity on the line is
called wrongly 1 time in 10, and one that is 3 standard errors away rightly 9 times in 10; at 90 % the second is 7."""
USEFUL = 0.5
"""In sigmas: a gain that is surely below this is no useful effect."""
FREE_SLOWDOWN = 1.02
"""Up to this step-time ratio, equal tokens count as equal time; above it a win needs a retrained baseline."""

EQUAL_TOKENS, EQUAL_TIME = "gain at equal tokens", "gain at equal time"
"""The two quantities that a revision most often answers."""


def gain(baseline: float, experiment: float, direction: Direction) -> float:
    """How much better the experiment is, in the metric's unit: the one place that applies the direction."""
    return baseline - experiment if direction == "min" else experiment - baseline


@dataclass(frozen=True)
class Floor:
    """The noise floor: how far n baseline runs that differ by the seed alone lie apart (std is sigma)."""

    n: int
    mean: float
    std: float


def noise_floor(values: Sequence[float]) -> Floor:
    """Mean and sample standard deviation of the baseline's runs.

    Raises ValueError: fewer than two runs, a metric that is not finite, or runs that are all the same, which
    means that the seed does not reach the training and nothing could be told from noise.
    """
    if len(values) < 2:
        raise ValueError(f"a noise floor needs at least 2 baseline runs, not {len(values)}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"a baseline run has a metric that is not finite: {list(values)}")
    if min(values) == max(values):
        raise ValueError(f"all {len(values)} baseline runs gave {values[0]}: the seed changes nothing")
    return Floor(len(values), fmean(values), stdev(values))


def interval(values: Sequence[float], level: float = 0.95, floor: Floor | None = None) -> Interval:
    """Student's t interval of the mean, in the values' unit; one value alone has infinite bounds.

    Given a `floor`, the values are paired gains, and their variance is pooled with that of independent arms,
    2 sigma^2, at the floor's degrees of freedom: exact when the arms are independent, too wide when pairing
    helps. It is for two or three pairs, whose own variance says next to nothing.
    Raises ValueError: no values.
    """
    n = len(values)
    mean = fmean(values)
    freedom = n - 1
    squares = freedom * stdev(values) ** 2 if n > 1 else 0.0
    if floor is not None:
        freedom += floor.n - 1
        squares += (floor.n - 1) * 2 * floor.std**2
    if freedom == 0:
        return Interval(mean=mean, low=-math.inf, high=math.inf)
    half = _quantile(freedom, (1 + level) / 2) * math.sqrt(squares / freedom / n)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def ratio_interval(experiment: Sequence[float], baseline: Sequence[float], level: float = LEVEL) -> Interval:
    """Geometric mean of the paired ratios experiment / baseline, its interval taken on the logarithm.

    Raises ValueError: no pairs, unequal lengths, or a measurement that is not positive.
    """
    if not all(value > 0 for value in (*experiment, *baseline)):
        raise ValueError("a ratio needs positive measurements")
    logs = interval([math.log(e / b) for e, b in zip(experiment, baseline, strict=True)], level)
    return Interval(mean=math.exp(logs.mean), low=math.exp(logs.low), high=math.exp(logs.high))


def t_statistic(differences: Sequence[float]) -> float:
    """Return mean * sqrt(n) / sd; differences that are all the same give +inf, -inf or 0 by sign.

    Raises ValueError: fewer than two differences, or one that is not finite (a failed run is no difference).
    """
    if not all(map(math.isfinite, differences)):
        raise ValueError(f"a difference is not finite: {list(differences)}")
    mean, spread = fmean(differences), stdev(differences)
    if spread == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean * math.sqrt(len(differences)) / spread


def cohens_d(baseline: Sequence[float], experiment: Sequence[float], direction: Direction) -> float | None:
    """Gain over the two arms' pooled standard deviation (Cohen 1988); None without any spread."""
    if min(len(baseline), len(experiment)) < 2:
        return None
    squares = sum((len(arm) - 1) * stdev(arm) ** 2 for arm in (baseline, experiment))
    pooled = math.sqrt(squares / (len(baseline) + len(experiment) - 2))
    return gain(fmean(baseline), fmean(experiment), direction) / pooled if pooled else None


def skewness(values: Sequence[float]) -> float | None:
    """Fisher's g1, the third central moment over the cubed (population) sd; None below 3 values or spread."""
    if len(values) < 3 or min(values) == max(values):
        return None
    mean = fmean(values)
    return fmean([(v - mean) ** 3 for v in values]) / math.sqrt(fmean([(v - mean) ** 2 for v in values])) ** 3


def screen(gains: Sequence[float], sigma: float) -> Screen:
    """Whether a version is worth a confirmation, from its paired gains on the visible split.

    A mean in sigmas or a t opens a gate; for two pairs, t >= 1 says that both gain.
    Raises ValueError as `t_statistic` does.
    """
    for gate in SCREEN:
        if len(gains) < gate.n:
            return "more"
        seen = gains[: gate.n]
        if fmean(seen) < gate.mean * sigma and t_statistic(seen) < gate.t:
            return "drop"
    return "survives"


def confirm(differences: Sequence[float], boundaries: Sequence[Look], minimum_effect: float = 0.0) -> Decision:
    """The confirmation's answer to these paired gains on the hidden split; between two looks it is "more".

    A win needs t above the look's bound and a mean gain of at least `minimum_effect` (metric's unit).
    Raises ValueError: more pairs than the last look has, or as `t_statistic` does.
    """
    n = len(differences)
    if n > boundaries[-1].n:
        raise ValueError(f"{n} pairs are more than the {boundaries[-1].n} of the last look")
    look = next((look for look in boundaries if look.n == n), None)
    if look is None:
        return "more"
    t = t_statistic(differences)
    if t > look.win and fmean(differences) >= minimum_effect:
        return "win"
    return "refused" if look.stop is None or t < look.stop else "more"


def confirmations_within(error: float, confidence: Confidence) -> int:
    """How many confirmations may be held while their sizes add up to at most `error`, whatever depends on what."""
    return math.floor(error * ATTEMPTS[confidence] / ERRORS[confidence] * (1 + 1e-9))


def seed(secret: bytes, bank: str, index: int) -> int:
    """Seed `index` of a bank, in 1 .. 2^31 - 1: HMAC-SHA256 of "bank|index" under the session's secret."""
    digest = hmac.new(secret, f"{bank}|{index}".encode(), hashlib.sha256).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (2**31 - 1)


def smallest_provable_effect(sigma_of_difference: float, looks: Sequence[Look]) -> float:
    """The true mean gain that `confirm` finds about 4 times in 5, in the unit of the paired difference's sd.

    The power of the last look alone, by the normal approximation to the noncentral t (Johnson & Welch 1940):
    delta = c (1 - 1/4v) + z sqrt(1 + c^2/2v), v = n - 1, z = 0.8416. The earlier looks add about
    what futility takes.
    """
    last = looks[-1]
    freedom = last.n - 1
    shift = last.win * (1 - 1 / (4 * freedom)) + 0.8416 * math.sqrt(1 + last.win**2 / (2 * freedom))
    return sigma_of_difference * shift / math.sqrt(last.n)


def kappa(baseline: Sequence[float], stretched: Sequence[float], direction: Direction, stretch: float = 1.25) -> float:
    """What compute buys the baseline: its gain from `stretch` times the tokens, over ln stretch."""
    return gain(fmean(baseline), fmean(stretched), direction) / math.log(stretch)


def kappa_margin(floor: Floor, seeds: int, stretch: float = 1.25) -> float:
    """The half-width of a kappa of so many seeds at LEVEL, as if longer training shared nothing with the floor."""
    error = floor.std * math.sqrt(2 / seeds) / math.log(stretch)
    return _quantile(floor.n - 1, (1 + LEVEL) / 2) * error


def equal_time(
    visible_effect: Interval, speed_ratio: Interval, kappa: float | None, margin: float = 0.0
) -> Interval | None:
    """The gain over a baseline that trains as long on the clock: E_tokens - kappa ln s; None without kappa.

    First order around s = 1. The half-widths, of one level, add in squares; `margin` is kappa's.
    A kappa below 0 is noise and counts as 0, or being slow would be a merit.
    """
    if kappa is None:
        return None
    price = max(kappa, 0.0)
    mean = visible_effect.mean - (price * math.log(speed_ratio.mean) if price else 0.0)
    widths = visible_effect.high - visible_effect.mean, math.log(speed_ratio.high / speed_ratio.mean)
    of_kappa = margin * math.log(speed_ratio.mean)
    half = math.hypot(widths[0], price * widths[1] if price else 0.0, of_kappa)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def read_ablation(missing: Interval, effect: float, member: bool = False) -> Literal["mechanism", "trivial", "open"]:
    """What a simpler thing that lacks `missing` of a gain of `effect` says about it; the whole interval decides.

    A bundle of three is expected to keep two thirds without any one `member`: it is trivial if nothing is lacking.
    """
    if missing.high < (0 if member else effect / 2):
        return "trivial"
    return "mechanism" if missing.low > 0 else "open"


def read_scale(gain: Interval, effect: float) -> Literal["holds", "scale-dependent", "open"]:
    """What the gain at another scale says about the `effect` of the first; the whole interval decides."""
    if gain.low > 0:
        return "holds"
    return "scale-dependent" if gain.high < effect / 2 else "open"


def near_zero(estimate: Interval, pairs: int) -> bool:
    """Whether a gain at equal time is within 2 standard errors of 0, and so to be measured, not estimated.

    Its interval, of LEVEL and as many pairs, gives the standard error back.
    Raises ValueError: fewer than two pairs.
    """
    if pairs < 2:
        raise ValueError(f"a standard error needs at least 2 pairs, not {pairs}")
    error = (estimate.high - estimate.mean) / _quantile(pairs - 1, (1 + LEVEL) / 2)
    return abs(estimate.mean) <= 2 * error


def compute_saved(gain: float, kappa: float) -> float:
    """The share of the baseline's compute that a gain at equal time is worth: exp(gain / kappa) - 1, kappa > 0.

    An extrapolation of the loss over the logarithm of compute; beyond a gain of one kappa it is worth little.
    """
    return math.expm1(gain / kappa)


def diverged(curve: Sequence[float], baseline_curves: Sequence[Sequence[float]]) -> bool:
    """Whether a training-loss curve ends diverged: not finite, or lost to the baselines and to its own past.

    Each of its last 3 checks lies above every baseline and above its own best by more than 5 times the larger of two
    spreads: the sd of the baselines' losses at that step, and the median change from check to check of its own past.
    So a slow learner, which is bad but stable, is spared even where its loss is noisy; the last checks spare a spike
    that has healed. Curves hold losses of the same steps, in order.
    Raises ValueError: fewer than two baselines.
    """
    if curve and not math.isfinite(curve[-1]):
        return True
    changes = [abs(after - before) for before, after in pairwise(curve[:-3])]
    own = median(changes) if changes else 0.0

    def lost(check: int) -> bool:
        losses = [baseline[check] for baseline in baseline_curves]
        return curve[check] > max(*losses, min(curve[: check + 1])) + 5 * max(stdev(losses), own)

    return len(curve) >= 3 and all(lost(check) for check in range(len(curve) - 3, len(curve)))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a verdict may know of a version. None: not measured, so no row that needs it matches.

    Effects are gains of the visible split with LEVEL's intervals; of the hidden split only the answer is here.
    Ratios are experiment / baseline. `retrained`: the equal-time effect comes from a baseline trained as
    long, not from kappa; with a `time_limit` there is none. `differences`: the paired gains behind `visible_effect`.
    """

    sigma: float
    regression_failed: bool = False
    causality_failed: bool = False
    dead_flag: bool = False
    experiment_failure: Literal["crash", "timeout", "diverged_early", "diverged_late"] | None = None
    diverged_seeds: int = 0
    repaired_once: bool = False
    visible_effect: Interval | None = None
    speed_ratio: Interval | None = None
    memory_ratio: float | None = None
    memory_limit: float = 2.0
    time_limit: float | None = None
    self_reported: bool = False
    equal_time_effect: Interval | None = None
    kappa: float | None = None
    retrained: bool = False
    confirmation: Literal["win", "refused"] | None = None
    differences: tuple[float, ...] = ()
    budget_ended: bool = False


def judge(evidence: Evidence) -> Verdict:
    """The outcome and its cause: the first row that matches.

    | row | condition | outcome, cause |
    |---|---|---|
    | 1 | regression or causality failed, or the flag changes nothing | invalid, implementation |
    | 2 | a crash, a timeout, or a NaN before step 10 | loss, implementation |
    | 3 | diverged later: 2 seeds, or 1 after a repair / 1 seed | loss, theory / loss, implementation |
    | 4 | better at equal tokens or confirmed, but worse at equal time, or out of bounds | loss, system |
    | 5 | confirmed, and no worse at equal time | win |
    | 6 | confirmed, but slower, and not surely better at equal time or not retrained | inconclusive, system |
    | 7 | worse at equal tokens | loss, theory (harmful) |
    | 8 | surely below half a sigma at equal tokens | loss, theory (no useful effect) |
    | 9 | better at equal tokens, but refused by the confirmation | inconclusive, noise |
    | 10 | anything else | inconclusive, noise |

    Better, worse and surely: the whole 80 % interval says so. The bounds are of memory, and of time where there is one.
    """
    return _failed(evidence) or _costly(evidence) or _confirmed(evidence) or _measured(evidence)


def _failed(e: Evidence) -> Verdict | None:
    """Rows 1 to 3: runs that measure nothing."""
    for flaw, quantity, finding in (
        (e.regression_failed, "regression", "The baseline moved with the flag off."),
        (e.causality_failed, "causality", "The logits look ahead or are no distribution."),
        (e.dead_flag, "liveness", "The flag is dead: on, it changes nothing."),
    ):
        if flaw:
            return _row(1, "invalid", "implementation", quantity, None, finding)
    if e.experiment_failure is None:
        return None
    if e.experiment_failure != "diverged_late":
        finding = {
            "crash": "The experiment's training crashed.",
            "timeout": "The experiment's training ran into its time limit.",
            "diverged_early": "The experiment's loss was not finite before step 10.",
        }[e.experiment_failure]
        return _row(2, "loss", "implementation", e.experiment_failure, None, finding)
    seeds = max(e.diverged_seeds, 1)
    cause: Cause = "theory" if seeds > 1 or e.repaired_once else "implementation"
    after = " after a repair" if e.repaired_once else ""
    finding = f"Training diverged on {seeds} seed{'s' * (seeds > 1)}{after}."
    return _row(3, "loss", cause, "diverged seeds", seeds, finding)


def _costly(e: Evidence) -> Verdict | None:
    """Row 4: a gain that time or memory eats."""
    speed = e.speed_ratio
    if e.confirmation != "win" and not (e.visible_effect and e.visible_effect.low > 0):
        return None
    better, timed = f"Better at equal tokens ({_span(e.visible_effect)})", e.equal_time_effect
    if timed and timed.high < 0:
        ratio = f" with a step-time ratio of {speed.mean:.3f}" if speed else ""
        finding = f"{better}, but worse at equal time ({_span(timed)}){ratio}."
        return _row(4, "loss", "system", EQUAL_TIME, timed.mean, finding)
    if speed and e.time_limit is not None and speed.low > e.time_limit:
        finding = f"{better}, but {speed.mean:.3f} times the step time; the limit is {e.time_limit:g}."
        return _row(4, "loss", "system", "step-time ratio", speed.mean, finding)
    if e.memory_ratio is not None and e.memory_ratio > e.memory_limit:
        finding = f"{better}, but {e.memory_ratio:.2f} times the memory; the limit is {e.memory_limit:g}."
        return _row(4, "loss", "system", "memory ratio", e.memory_ratio, finding)
    return None


def _confirmed(e: Evidence) -> Verdict | None:
    """Rows 5 and 6: a gain that fresh seeds and hidden data confirm, held against the clock."""
    if e.confirmation != "win":
        return None
    tokens, timed = e.visible_effect, e.equal_time_effect
    speed = e.speed_ratio
    unslowed = speed is not None and speed.mean <= FREE_SLOWDOWN
    free = unslowed or (speed is not None and e.time_limit is not None and speed.low <= e.time_limit)
    slower = not free and speed is not None and speed.low > 1
    start = f"Confirmed on {_grounds(e)}"
    if timed is None and free:
        cost = "no slower" if unslowed or not speed else f"at {speed.mean:.3f} times the step time, which is allowed"
        finding = f"{start}, and {cost}; the visible gain is {_span(tokens)}."
        return _row(5, "win", None, EQUAL_TOKENS, tokens.mean if tokens else None, finding)
    if timed and (timed.low > 0 if slower else timed.mean >= 0) and (free or e.retrained):
        finding = f"{start}; the visible gain at equal time is {_span(timed)}"
        worth = (
            f", what {compute_saved(timed.mean, e.kappa):.0%} more compute would give"
            if e.kappa and e.kappa >= timed.mean
            else ""
        )
        return _row(5, "win", None, EQUAL_TIME, timed.mean, f"{finding}{worth}.")
    finding = f"{start}, but open at equal time (visible gain {_span(timed)}): train the baseline as long."
    return _row(6, "inconclusive", "system", EQUAL_TIME, timed.mean if timed else None, finding)


def _grounds(e: Evidence) -> str:
    """What a confirmation rests on: a run's own word knows of no hidden split."""
    return "fresh seeds, by the runs' own word" if e.self_reported else "fresh seeds and hidden data"


def _measured(e: Evidence) -> Verdict:
    """Rows 7 to 10: what the visible split says of a version that no confirmation carries."""
    effect, useful = e.visible_effect, USEFUL * e.sigma
    if effect and effect.high < 0:
        return _row(7, "loss", "theory", EQUAL_TOKENS, effect.mean, f"Harmful: the gain is {_span(effect)}.")
    if effect and effect.high < useful:
        finding = f"No useful effect: the gain is {_span(effect)}, below half a sigma ({useful:.4g})."
        return _row(8, "loss", "theory", EQUAL_TOKENS, effect.mean, finding)
    if effect and effect.low > 0 and e.confirmation == "refused":
        finding = f"{_grounds(e).capitalize()} did not confirm the visible gain of {_span(effect)}."
        return _row(9, "inconclusive", "noise", EQUAL_TOKENS, effect.mean, finding)
    enough = len(e.differences) > 1
    spread = stdev(e.differences) if enough else math.sqrt(2) * e.sigma
    mean = fmean(e.differences) if enough else 0.0
    first, *_, last = BOUNDARIES["standard"]
    pairs = max(first.n, math.ceil((last.win * spread / max(mean, useful)) ** 2))
    start = "The budget ended before an answer" if e.budget_ended else "Noise hides the answer"
    finding = f"{start}: the visible gain is {_span(effect)}; about {pairs} pairs would settle it."
    return _row(10, "inconclusive", "noise", "pairs to settle", pairs, finding)


def _span(effect: Interval | None) -> str:
    """A gain with its 80 % interval, or that it was not measured."""
    return f"{effect.mean:+.4g} [{effect.low:+.4g}, {effect.high:+.4g}]" if effect else "not measured"


def _row(row: int, outcome: Outcome, cause: Cause | None, quantity: str, value: float | None, finding: str) -> Verdict:
    return Verdict(outcome=outcome, cause=cause, row=row, finding=finding, quantity=quantity, value=value)


def _quantile(freedom: float, probability: float) -> float:
    """The quantile of Student's t; scipy is a fifth of the start of a command that only shows something."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
