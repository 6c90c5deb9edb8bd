"""What a version costs: step times in pairs, alone on the machine, and the gain at equal time.

What is run, and in which order, is here; what the numbers mean is in agents/statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from agents.budget import TIMING_PAIRS
from agents.nodes.trial import Trial
from agents.records import Arm, Ending, Interval, Run
from agents.statistics import (
    FREE_SLOWDOWN,
    LEVEL,
    SCREEN,
    equal_time,
    gain,
    interval,
    kappa,
    kappa_margin,
    near_zero,
    ratio_interval,
)

STRETCH = 1.25
WINDOW_SECONDS, MOST_TIMES = 2.0, 16
UNSEEN = 1.05
"""Whole runs that cost so many times what their steps explain are timed whole: work may hide between the steps."""


def time_arms(trial: Trial) -> Ending | None:
    """Step times in pairs B E E B, alone on the machine; then the gain at equal time, estimated."""
    runs = _timed(trial, _timed_tokens(trial))
    if runs is None:
        return "budget"
    if trial.failed:
        return "failed run"
    old, new = _by_arm(runs)
    stepwise = all(run.seconds_per_step for run in runs) and len({run.steps for run in runs}) == 1
    trial.speed = ratio_interval(_times(new, stepwise), _times(old, stepwise))
    if all(run.peak_memory_bytes for run in runs):
        trial.memory = _memory(new) / _memory(old)
    if stepwise and whole_cost(trial) > UNSEEN * trial.speed.high:
        runs = _timed(trial, trial.context.session.train_tokens)
        if runs is None:
            return "budget"
        trial.speed = ratio_interval(*without_start(*_by_arm(runs)))
    return _price(trial)


def _timed_tokens(trial: Trial) -> int:
    """The tokens of a timed run: a short run's, or as many more as it takes to step for WINDOW_SECONDS.

    A run of a few quick steps is soon done, but a hiccup of the machine would then decide what a version costs.
    """
    short, first = trial.context.target.scale(trial.context.session.preset).short_tokens, trial.floor.runs[0]
    if not (first.seconds_per_step and first.steps):
        return short
    stepping = first.seconds_per_step * first.steps * short / first.train_tokens
    return short * math.ceil(min(WINDOW_SECONDS / stepping, MOST_TIMES))


def whole_cost(trial: Trial) -> float:
    """The smallest ratio of the screen's whole runs to the baseline's with the same seeds, in seconds.

    A crowded machine may stretch it, too: then whole runs are timed, alone, where their steps would have done.
    """
    floor = {run.seed: run.train_seconds for run in trial.floor.runs}
    return min(run.train_seconds / floor[run.seed] for run in trial.runs if run.stage == "screen")


def without_start(old: Sequence[Run], new: Sequence[Run]) -> tuple[list[float], list[float]]:
    """Seconds of the experiment's and the baseline's whole runs, without what the baseline's steps don't explain.

    A start-up that both have would hide work in it. What the experiment adds to it counts.
    """
    steps = fmean(run.seconds_per_step * run.steps for run in old if run.seconds_per_step)
    start = max(0.0, fmean(run.train_seconds for run in old) - steps)
    least = steps / 10
    after, before = ([max(least, run.train_seconds - start) for run in runs] for runs in (new, old))
    return after, before


def _timed(trial: Trial, tokens: int) -> list[Run] | None:
    """Train both arms turn about; the baseline again for each version, for the machine changes its speed."""
    assert trial.version.patch is not None
    here = trial.version.patch.commit
    arms: list[Arm] = ["baseline", "experiment", "experiment", "baseline"] * (TIMING_PAIRS // 2)
    orders = [trial.order(arm, "timing", trial.floor.runs[index // 2].seed) for index, arm in enumerate(arms)]
    return trial.train([replace(order, train_tokens=tokens, alone=True, beside=here) for order in orders])


def _by_arm(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    old, new = ([run for run in runs if run.arm == arm] for arm in ("baseline", "experiment"))
    return old, new


def _times(runs: Sequence[Run], stepwise: bool) -> list[float]:
    """Seconds a step; whole seconds of the runs where the target tells of no steps, or the arms take other numbers."""
    return [run.seconds_per_step or run.train_seconds if stepwise else run.train_seconds for run in runs]


def _memory(runs: Sequence[Run]) -> float:
    return fmean(run.peak_memory_bytes for run in runs if run.peak_memory_bytes)


def _price(trial: Trial) -> Ending | None:
    """Hold the gain against its cost: at equal time, or within the target's bounds of time and memory."""
    effect, speed = trial.visible_effect, trial.speed
    assert effect is not None and speed is not None
    target = trial.context.target
    if target.time_limit is None:
        trial.timed = effect
        if (speed.low > 1 or speed.mean > FREE_SLOWDOWN) and not _estimate(trial, effect, speed):
            return "budget"
    slow = trial.timed is not None and trial.timed.high < 0
    slow = slow or (target.time_limit is not None and speed.low > target.time_limit)
    large = trial.memory is not None and trial.memory > target.guards.memory_ratio
    return "too costly" if effect.low > 0 and (slow or large) else None


def _estimate(trial: Trial, effect: Interval, speed: Interval) -> bool:
    """Put what is left of a gain beside what more training would have bought; False where the budget has no room."""
    batch = trial.floor.runs[: SCREEN[0].n]
    runs = _stretched(trial, batch, STRETCH)
    if runs is None:
        return False
    trial.kappa = kappa(_visible(batch), _visible(runs), trial.floor.direction, STRETCH)
    trial.timed = equal_time(effect, speed, trial.kappa, kappa_margin(trial.noise_floor, len(batch), STRETCH))
    doubtful = trial.timed is not None and near_zero(trial.timed, len(trial.gains["screen"]))
    return not (doubtful and retrain(trial))


def _stretched(trial: Trial, batch: Sequence[Run], stretch: float) -> list[Run] | None:
    """Train the baseline on the seeds of these runs with its schedule stretched to more tokens."""
    tokens = math.ceil(stretch * trial.context.session.train_tokens)
    orders = [trial.order("baseline", "stretched", run.seed, "visible") for run in batch]
    return trial.train([replace(order, train_tokens=tokens) for order in orders])


def retrain(trial: Trial) -> Ending | None:
    """Hold a slower version against a baseline that trains as long on the clock: where in doubt, and before a win."""
    bounded = trial.context.target.time_limit is not None
    if bounded or trial.retrained or trial.speed is None or trial.speed.mean <= FREE_SLOWDOWN:
        return None
    experiments = [run for run in trial.runs if run.stage == "screen"]
    runs = _stretched(trial, experiments, trial.speed.mean)
    if runs is None:
        return "confirmed"
    pairs = zip(_visible(runs), _visible(experiments), strict=True)
    effect = interval([gain(old, new, trial.floor.direction) for old, new in pairs], LEVEL)
    unsure = Interval(mean=1.0, low=trial.speed.low / trial.speed.mean, high=trial.speed.high / trial.speed.mean)
    trial.timed = equal_time(effect, unsure, trial.kappa)
    trial.retrained = True
    return None


def _visible(runs: Sequence[Run]) -> list[float]:
    return [run.visible for run in runs if run.visible is not None]
