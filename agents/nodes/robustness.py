"""After a win: was it the mechanism, and does it last? Ablations and further scales are reported; no verdict waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from langgraph.runtime import Runtime

from agents.budget import LONGEST_CHECK, REPORT_PAIRS
from agents.errors import BaselineRefused
from agents.nodes.regression import charge
from agents.nodes.trial import Trial
from agents.ports import Context, Order
from agents.records import Ablated, Ablation, Scaled
from agents.state import State, amended, baseline_of, current
from agents.statistics import BOUNDARIES, gain, interval, read_ablation, read_scale

_ROUNDS = (REPORT_PAIRS, LONGEST_CHECK)


def robustness(state: State, runtime: Runtime[Context]) -> State:
    """Put the ablations that the plan named and the scales that the person asked for into the experiment."""
    version, floor = current(state), baseline_of(state)
    assert version.experiment is not None and version.experiment.effect is not None and floor is not None
    trial, effect = Trial(runtime.context, state, version, floor), version.experiment.effect
    whole = _Whole(trial)
    ablated = [_ablate(whole, ablation, effect) for ablation in version.plan.ablations]
    scaled: list[Scaled] = []
    for tokens in runtime.context.session.scales:
        lasts = all(result.reading == "holds" for result in scaled)
        untried = Scaled(train_tokens=tokens, pairs=0, gain=None, reading="skipped")
        scaled.append(_scale(trial, tokens, effect) if lasts else untried)
    for result in (*ablated, *scaled):
        runtime.context.report("robustness", version=version.n, result=result)
    amendment = version.experiment.model_copy(update={"ablations": tuple(ablated), "scales": tuple(scaled)})
    return {"versions": amended(state, experiment=amendment), "runs": charge(trial.runs)}


@dataclass
class _Whole:
    """The winning version's report pairs, which ablations are set beside; more are trained when they are asked for."""

    trial: Trial
    baseline: dict[int, float] = field(default_factory=dict)
    experiment: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.trial.version.experiment is not None
        for pair in self.trial.version.experiment.pairs:
            if pair.stage == "report" and pair.baseline is not None and pair.experiment is not None:
                self.baseline[pair.seed], self.experiment[pair.seed] = pair.baseline, pair.experiment

    def seeds(self, count: int) -> list[int] | None:
        """Return `count` seeds that both arms have been trained on; None where that fails or is not affordable."""
        confirmed = BOUNDARIES[self.trial.context.session.confidence][-1].n
        seeds = self.trial.seeds(self.trial.bank, confirmed, confirmed + count)
        for seed in (seed for seed in seeds if seed not in self.baseline):
            losses = _losses(self.trial, _pair(self.trial, "ablation", seed))
            if not losses:
                return None
            self.baseline[seed], self.experiment[seed] = losses
        return seeds


def _ablate(whole: _Whole, ablation: Ablation, effect: float) -> Ablated:
    """Train the simpler thing on the report's seeds: what is its gain, and what does it lack?"""
    result = Ablated(name=ablation.name, flags=ablation.flags, pairs=0, gain=None, missing=None, reading="budget")
    trial, direction = whole.trial, whole.trial.floor.direction
    flags = trial.flags(ablation.flags)
    found: dict[int, float] = {}
    for count in _ROUNDS:
        seeds = whole.seeds(count)
        if seeds is None:
            break
        orders = [
            replace(trial.order("experiment", "ablation", seed, "hidden"), flags=flags)
            for seed in seeds
            if seed not in found
        ]
        losses = _losses(trial, orders)
        if losses is None:
            break
        if not losses:
            return result.model_copy(update={"reading": "failed"})
        found |= {order.seed: loss for order, loss in zip(orders, losses, strict=True)}
        own = [gain(whole.baseline[seed], found[seed], direction) for seed in seeds]
        missing = interval([gain(found[seed], whole.experiment[seed], direction) for seed in seeds], 0.90)
        reading = read_ablation(missing, effect, ablation.member)
        update = {"pairs": count, "gain": interval(own, 0.90), "missing": missing, "reading": reading}
        result = result.model_copy(update=update)
        if reading != "open":
            break
    return result


def _scale(trial: Trial, tokens: int, effect: float) -> Scaled:
    """Train both arms with another number of tokens on seeds of that scale's own bank."""
    result = Scaled(train_tokens=tokens, pairs=0, gain=None, reading="budget")
    gains: list[float] = []
    for count in _ROUNDS:
        seeds = trial.seeds(f"scale {tokens}", len(gains), count)
        orders = [order for seed in seeds for order in _pair(trial, "scale", seed)]
        losses = _losses(trial, [replace(order, train_tokens=tokens) for order in orders])
        if losses is None:
            break
        if not losses:
            return result.model_copy(update={"reading": "failed"})
        pairs = zip(losses[::2], losses[1::2], strict=True)
        gains += [gain(old, new, trial.floor.direction) for old, new in pairs]
        found = interval(gains, 0.90)
        result = Scaled(train_tokens=tokens, pairs=count, gain=found, reading=read_scale(found, effect))
        if result.reading != "open":
            break
    return result


def _pair(trial: Trial, stage: Literal["ablation", "scale"], seed: int) -> list[Order]:
    return [trial.order(arm, stage, seed, "hidden") for arm in ("baseline", "experiment")]


def _losses(trial: Trial, orders: Sequence[Order]) -> list[float] | None:
    """Return the hidden metric of every order's run; none at all if a run failed, and None if there is no budget."""
    try:
        runs = trial.train(orders)
    except BaselineRefused:
        return []
    if runs is None:
        return None
    losses = [run.hidden for run in runs if run.status == "done" and run.hidden is not None]
    return losses if len(losses) == len(runs) else []
