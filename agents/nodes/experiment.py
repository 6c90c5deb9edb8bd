"""The experiment-runner's second visit: the experiment against the baseline, by the rule of proof.

What is run, and in which order, is here; what the numbers mean is in agents/statistics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from langgraph.runtime import Runtime

from agents.budget import REPORT_PAIRS
from agents.nodes.hold import has_its_turn
from agents.nodes.regression import charge
from agents.nodes.timing import retrain, time_arms
from agents.nodes.trial import Trial
from agents.ports import Context
from agents.records import Ending
from agents.state import State, amended, baseline_of, current
from agents.statistics import (
    BOUNDARIES,
    SCREEN,
    Look,
    confirm,
    screen,
    t_statistic,
)

CLEAR = 1e6
"""The t of a screen whose gains are all the same, which has no finite one."""


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
    for stage in (_screen, time_arms, _turn, _confirm, retrain, _report):
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


def _turn(trial: Trial) -> Ending | None:
    """In a campaign the confirmations go to the best first: those whose screen is the surest."""
    gains, effect = trial.gains["screen"], trial.visible_effect
    t = min(t_statistic(gains), CLEAR)
    gain = effect.mean if effect else None
    return None if has_its_turn(trial.context, trial.version.n, "confirmation", t=t, gain=gain) else "dropped"


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
