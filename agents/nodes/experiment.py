"""The experiment-runner's second visit: the experiment against the baseline, by the rule of proof.

What is run, and in which order, is here; what the numbers mean is in agents/statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from langgraph.runtime import Runtime

from agents.budget import REPORT_PAIRS, TIMING_PAIRS
from agents.nodes.regression import charge
from agents.nodes.trial import Ending, Trial
from agents.ports import Context
from agents.records import Arm, Interval, Run
from agents.state import State, amended, baseline_of, current
from agents.statistics import (
    BOUNDARIES,
    FREE_SLOWDOWN,
    LEVEL,
    SCREEN,
    Look,
    confirm,
    equal_time,
    gain,
    interval,
    kappa,
    kappa_margin,
    near_zero,
    ratio_interval,
    screen,
)

STRETCH = 1.25
MEMORY_LIMIT = 2.0


def experiment(state: State, runtime: Runtime[Context]) -> State:
    """Run the screen, the timing and the confirmation, as far as each lets the version go on."""
    version, floor = current(state), baseline_of(state)
    assert version.patch is not None and floor is not None
    trial = Trial(runtime.context, state, version, floor)
    result = trial.result(_conduct(trial))
    runtime.context.report("experiment", version=version.n, experiment=result)
    return {"versions": amended(state, experiment=result), "runs": charge(trial.runs)}


def _conduct(trial: Trial) -> Ending:
    """Spend runs in the order of the rule, and say where it stopped."""
    for stage in (_screen, _time, _confirm, _retrain, _report):
        ending = stage(trial)
        if ending is not None:
            return ending
    return "confirmed"


def _screen(trial: Trial) -> Ending | None:
    """Visible split, floor seeds: is the version worth a confirmation at all?"""
    recorded = trial.floor.runs
    for gate in SCREEN:
        batch = recorded[len(trial.gains["screen"]) : gate.n]
        orders = [trial.order("experiment", "screen", run.seed, "visible") for run in batch]
        if batch[0] is recorded[0]:
            orders[0] = replace(orders[0], checked=True)
        runs = trial.train(orders)
        if runs is None:
            return "budget"
        trial.pair_up(batch, runs, "screen")
        if trial.failed:
            return "failed run"
        decision = screen(trial.gains["screen"], trial.floor.std)
        trial.context.report(
            "screen",
            version=trial.version.n,
            runs=len(trial.gains["screen"]),
            decision=decision,
            gain=trial.visible_effect,
            sigma=trial.floor.std,
        )
        if decision == "drop":
            return "screen"
    return None


def _time(trial: Trial) -> Ending | None:
    """Step times in pairs B E E B, alone on the machine; then the gain at equal time, estimated."""
    short = trial.context.target.scale(trial.context.session.preset).short_tokens
    arms: list[Arm] = ["baseline", "experiment", "experiment", "baseline"] * (TIMING_PAIRS // 2)
    orders = [
        replace(trial.order(arm, "timing", trial.floor.runs[index // 2].seed), train_tokens=short, alone=True)
        for index, arm in enumerate(arms)
    ]
    runs = trial.train(orders)
    if runs is None:
        return "budget"
    if trial.failed:
        return "failed run"
    old, new = ([run for run in runs if run.arm == arm] for arm in ("baseline", "experiment"))
    stepwise = all(run.seconds_per_step for run in runs) and len({run.steps for run in runs}) == 1
    trial.speed = ratio_interval(_times(new, stepwise), _times(old, stepwise))
    if all(run.peak_memory_bytes for run in runs):
        trial.memory = _memory(new) / _memory(old)
    return _price(trial)


def _times(runs: Sequence[Run], stepwise: bool) -> list[float]:
    """Seconds a step; whole seconds of the runs where the target tells of no steps, or the arms take other numbers."""
    return [run.seconds_per_step or run.train_seconds if stepwise else run.train_seconds for run in runs]


def _memory(runs: Sequence[Run]) -> float:
    return fmean(run.peak_memory_bytes for run in runs if run.peak_memory_bytes)


def _price(trial: Trial) -> Ending | None:
    """Estimate the gain at equal time from what more compute would have bought the baseline."""
    effect, speed = trial.visible_effect, trial.speed
    assert effect is not None and speed is not None
    trial.timed = effect
    if speed.low > 1 or speed.mean > FREE_SLOWDOWN:
        batch = trial.floor.runs[: SCREEN[0].n]
        runs = _stretched(trial, batch, STRETCH)
        if runs is None:
            return "budget"
        trial.kappa = kappa(_visible(batch), _visible(runs), trial.floor.direction, STRETCH)
        trial.timed = equal_time(effect, speed, trial.kappa, kappa_margin(trial.noise_floor, len(batch), STRETCH))
        if trial.timed and near_zero(trial.timed, len(trial.gains["screen"])) and _retrain(trial):
            return "budget"
    slow = trial.timed is not None and trial.timed.high < 0
    large = trial.memory is not None and trial.memory > MEMORY_LIMIT
    return "too costly" if effect.low > 0 and (slow or large) else None


def _stretched(trial: Trial, batch: Sequence[Run], stretch: float) -> list[Run] | None:
    """Train the baseline on the seeds of these runs with its schedule stretched to more tokens."""
    tokens = math.ceil(stretch * trial.context.session.train_tokens)
    orders = [trial.order("baseline", "stretched", run.seed, "visible") for run in batch]
    return trial.train([replace(order, train_tokens=tokens) for order in orders])


def _confirm(trial: Trial) -> Ending | None:
    """Hidden split, seeds that nobody could choose, looks at fixed numbers of pairs."""
    session = trial.context.session
    looks = BOUNDARIES[session.confidence]
    _freeze(trial, looks)
    for look in looks:
        if not _fresh_pairs(trial, "confirm", len(trial.gains["confirm"]), look.n):
            return "failed run" if trial.failed else "budget"
        decision = confirm(trial.gains["confirm"], looks, session.minimum_effect)
        trial.context.report("look", pairs=look.n, decision=decision)
        if decision != "more":
            return None if decision == "win" else "refused"
    return "refused"


def _freeze(trial: Trial, looks: Sequence[Look]) -> None:
    """Put on record what the confirmation may not choose any more: bytes, seeds, boundaries and the least gain."""
    patch, session = trial.version.patch, trial.context.session
    assert patch is not None
    body = {
        "commit": patch.commit,
        "diff_sha256": patch.diff_sha256,
        "seeds": trial.seeds(trial.bank, 0, looks[-1].n),
        "looks": [list(look) for look in looks],
        "minimum_effect": session.minimum_effect,
    }
    trial.context.record("confirmation", patch.commit, body)


def _retrain(trial: Trial) -> Ending | None:
    """Hold a slower version against a baseline that trains as long on the clock: where in doubt, and before a win."""
    if trial.retrained or trial.speed is None or trial.speed.mean <= FREE_SLOWDOWN:
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


def _report(trial: Trial) -> Ending | None:
    """Fresh pairs after a win: the gain that stopped the confirmation is inflated, these are not."""
    taken = BOUNDARIES[trial.context.session.confidence][-1].n
    _fresh_pairs(trial, "report", taken, taken + REPORT_PAIRS)
    return None


def _fresh_pairs(trial: Trial, stage: Literal["confirm", "report"], first: int, last: int) -> bool:
    """Train both arms on the bank's seeds first..last; False where the budget or a run failed.

    Of every batch one model is checked: what looks ahead for some seeds only has to pass more than once.
    """
    seeds = trial.seeds(trial.bank, first, last)
    old = [trial.order("baseline", "confirm", number, "hidden") for number in seeds]
    new = [trial.order("experiment", "confirm", number, "hidden") for number in seeds]
    new[0] = replace(new[0], checked=True, keep_weights=first == 0)
    runs = trial.train([*old, *new])
    if runs is None:
        return False
    trial.pair_up(runs[: len(seeds)], runs[len(seeds) :], stage)
    return not trial.failed


def _visible(runs: Sequence[Run]) -> list[float]:
    return [run.visible for run in runs if run.visible is not None]
