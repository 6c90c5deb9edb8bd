"""The experiment-runner's second visit: the experiment against the baseline, by the rule of proof.

What is run, and in which order, is here; what the numbers mean is in agents/statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from langgraph.runtime import Runtime

from agents.budget import REPORT_PAIRS, TIMING_PAIRS, affords
from agents.errors import BaselineRefused
from agents.nodes.regression import charge, flags_of
from agents.ports import Context, Order
from agents.records import Arm, Baseline, Experiment, Interval, Pair, Run, Stage, Version
from agents.state import State, amended, baseline_of, current, spend_of, versions_of
from agents.statistics import (
    BOUNDARIES,
    FREE_SLOWDOWN,
    MAX_ATTEMPTS,
    SCREEN,
    Floor,
    cohens_d,
    confirm,
    diverged,
    equal_time,
    gain,
    interval,
    kappa,
    ratio_interval,
    screen,
    seed,
    skewness,
    t_statistic,
)

STRETCH = 1.25
_FEW = 4
MEMORY_LIMIT = 2.0


@dataclass
class _Trial:
    """One experiment while it is being run: the world, and what has been measured so far."""

    context: Context
    state: State
    version: Version
    floor: Baseline
    runs: list[Run] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    hidden: list[float] = field(default_factory=list)
    reported: list[float] = field(default_factory=list)
    speed: Interval | None = None
    memory: float | None = None
    kappa: float | None = None
    timed: Interval | None = None
    retrained: bool = False

    def order(
        self, arm: Arm, stage: Stage, seed_: int, split: Literal["visible", "hidden"] | None, **more: int | bool
    ) -> Order:
        """Return the order of one run of this version, or of the base commit for the baseline arm."""
        assert self.version.patch is not None
        session = self.context.session
        commit = self.version.patch.commit if arm == "experiment" else session.base
        flags = flags_of(self.version) if arm == "experiment" else ()
        tokens = int(more.get("tokens", session.train_tokens))
        return Order(
            arm,
            stage,
            seed_,
            commit,
            tokens,
            flags=flags,
            splits=(split,) if split else (),
            alone=bool(more.get("alone", False)),
            checked=bool(more.get("checked", False)),
            keep_weights=bool(more.get("keep_weights", False)),
        )

    def train(self, orders: Sequence[Order]) -> list[Run] | None:
        """Return the runs of the orders, or None where the budget has no room for them.

        Raises:
            BaselineRefused: the baseline, which trained well for the floor, failed.
        """
        session = self.context.session
        spend = spend_of({**self.state, "runs": self.state.get("runs", {}) | charge(self.runs)})
        elapsed = {"wall_seconds": self.context.clock.elapsed()}
        if not affords(session.budget, spend.model_copy(update=elapsed), len(orders), session.workers):
            return None
        runs = self.context.laboratory.run(orders)
        self.runs += runs
        for run in runs:
            if run.arm == "baseline" and run.status != "done":
                raise BaselineRefused(f"A run of the baseline failed with seed {run.seed}: {run.error}.")
        return runs

    @property
    def bank(self) -> int:
        """The number of the seeds' bank: after so many confirmations on one, the next has new baselines."""
        confirmed = [old for old in versions_of(self.state)[:-1] if old.experiment and _confirmed(old.experiment)]
        return len(confirmed) // MAX_ATTEMPTS

    @property
    def sigma(self) -> Floor:
        return Floor(self.floor.n, self.floor.mean, self.floor.std)

    @property
    def visible_effect(self) -> Interval | None:
        """The gain at equal tokens with its 90 % interval; a few pairs borrow the floor's spread."""
        if not self.visible:
            return None
        return interval(self.visible, 0.90, floor=self.sigma if len(self.visible) < _FEW else None)

    def failed(self) -> list[Run]:
        """Return the experiment's runs that failed, or whose loss left every baseline's curve for good."""
        curves = [run.losses for run in self.floor.runs]
        return [
            run
            for run in self.runs
            if run.arm == "experiment" and (run.status != "done" or _lost(run, curves, self.floor.runs[0]))
        ]


def experiment(state: State, runtime: Runtime[Context]) -> State:
    """Run the screen, the timing and the confirmation, as far as each lets the version go on."""
    version, floor = current(state), baseline_of(state)
    assert version.patch is not None and floor is not None
    trial = _Trial(runtime.context, state, version, floor)
    result = _result(trial, _conduct(trial))
    runtime.context.report("experiment", version=version.n, experiment=result)
    return {"versions": amended(state, experiment=result), "runs": charge(trial.runs)}


Ending = Literal["failed run", "screen", "too costly", "refused", "confirmed", "budget"]


def _conduct(trial: _Trial) -> Ending:
    """Spend runs in the order of the rule, and say where it stopped."""
    for stage in (_screen, _time, _confirm, _retrain, _report):
        ending = stage(trial)
        if ending is not None:
            return ending
    return "confirmed"


def _screen(trial: _Trial) -> Ending | None:
    """Visible split, floor seeds: is the version worth a confirmation at all?"""
    recorded = trial.floor.runs
    for gate in SCREEN:
        batch = recorded[len(trial.visible) : gate.n]
        runs = trial.train(
            [trial.order("experiment", "screen", run.seed, "visible", checked=run is recorded[0]) for run in batch]
        )
        if runs is None:
            return "budget"
        if trial.failed():
            trial.pairs += [_pair(old, new, "screen", "visible") for old, new in zip(batch, runs, strict=True)]
            return "failed run"
        _pair_up(trial, batch, runs, "screen")
        if screen(trial.visible, trial.floor.std) == "drop":
            return "screen"
    return None


def _time(trial: _Trial) -> Ending | None:
    """Step times in pairs B E E B, alone on the machine; then the gain at equal time, estimated."""
    short = trial.context.target.scale(trial.context.session.preset).short_tokens
    arms: list[Arm] = ["baseline", "experiment", "experiment", "baseline"] * (TIMING_PAIRS // 2)
    seeds = [trial.floor.runs[index // 2].seed for index in range(len(arms))]
    orders = [
        trial.order(arm, "timing", number, None, tokens=short, alone=True)
        for arm, number in zip(arms, seeds, strict=True)
    ]
    runs = trial.train(orders)
    if runs is None:
        return "budget"
    if trial.failed():
        return "failed run"
    times: dict[Arm, list[float]] = {"baseline": [], "experiment": []}
    stepwise = all(run.seconds_per_step for run in runs)
    for run in runs:
        times[run.arm].append(run.seconds_per_step if stepwise and run.seconds_per_step else run.train_seconds)
    trial.speed = ratio_interval(times["experiment"], times["baseline"])
    trial.memory = _memory_ratio(runs)
    return _price(trial)


def _price(trial: _Trial) -> Ending | None:
    """Estimate the gain at equal time from what more compute would have bought the baseline."""
    effect = trial.visible_effect
    if trial.speed is None or effect is None:
        return None
    trial.timed = effect
    if trial.speed.low > 1 or trial.speed.mean > FREE_SLOWDOWN:
        tokens = math.ceil(STRETCH * trial.context.session.train_tokens)
        batch = trial.floor.runs[: SCREEN[0].n]
        runs = trial.train([trial.order("baseline", "stretched", run.seed, "visible", tokens=tokens) for run in batch])
        if runs is None:
            return "budget"
        trial.kappa = kappa(_values(batch, "visible"), _values(runs, "visible"), trial.floor.direction, STRETCH)
        trial.timed = equal_time(effect, trial.speed, trial.kappa)
    if effect.low > 0 and trial.timed and trial.timed.high < 0:
        return "too costly"
    if effect.low > 0 and trial.memory is not None and trial.memory > MEMORY_LIMIT:
        return "too costly"
    return None


def _confirm(trial: _Trial) -> Ending | None:
    """Hidden split, seeds that nobody could choose, looks at fixed numbers of pairs."""
    session = trial.context.session
    looks = BOUNDARIES[session.confidence]
    for look in looks:
        if not _fresh_pairs(trial, "confirm", len(trial.hidden), look.n):
            return "failed run" if trial.failed() else "budget"
        decision = confirm(trial.hidden, looks, session.minimum_effect)
        trial.context.report("look", pairs=look.n, decision=decision)
        if decision != "more":
            return None if decision == "win" else "refused"
    return "refused"


def _retrain(trial: _Trial) -> Ending | None:
    """A slower win is held against a baseline that trains as long on the clock."""
    if trial.speed is None or trial.speed.mean <= FREE_SLOWDOWN:
        return None
    tokens = round(trial.speed.mean * trial.context.session.train_tokens)
    batch = trial.floor.runs[: len(trial.visible)]
    runs = trial.train([trial.order("baseline", "stretched", run.seed, "visible", tokens=tokens) for run in batch])
    if runs is None:
        return "confirmed"
    experiments = [run for run in trial.runs if run.stage == "screen"]
    gains = [_gain(trial, old, new, "visible") for old, new in zip(runs, experiments, strict=True)]
    trial.timed, trial.retrained = interval([number for number in gains if number is not None], 0.90), True
    return None


def _report(trial: _Trial) -> Ending | None:
    """Fresh pairs after a win: the gain that stopped the confirmation is inflated, these are not."""
    taken = BOUNDARIES[trial.context.session.confidence][-1].n
    _fresh_pairs(trial, "report", taken, taken + REPORT_PAIRS)
    return None


def _fresh_pairs(trial: _Trial, stage: Literal["confirm", "report"], first: int, last: int) -> bool:
    """Train both arms on the bank's seeds first..last; False where the budget or a run failed."""
    secret = bytes.fromhex(trial.context.session.secret)
    seeds = [seed(secret, f"confirmation {trial.bank}", index) for index in range(first, last)]
    orders = [trial.order("baseline", "confirm", number, "hidden") for number in seeds]
    orders += [
        trial.order("experiment", "confirm", number, "hidden", checked=index == 0, keep_weights=index == 0)
        for index, number in zip(range(first, last), seeds, strict=True)
    ]
    runs = trial.train(orders)
    if runs is None:
        return False
    _pair_up(trial, runs[: len(seeds)], runs[len(seeds) :], stage)
    return not trial.failed()


def _pair_up(
    trial: _Trial, old: Sequence[Run], new: Sequence[Run], stage: Literal["screen", "confirm", "report"]
) -> None:
    split: Literal["visible", "hidden"] = "visible" if stage == "screen" else "hidden"
    gains = {"screen": trial.visible, "confirm": trial.hidden, "report": trial.reported}[stage]
    for one, other in zip(old, new, strict=True):
        trial.pairs.append(_pair(one, other, stage, split))
        difference = _gain(trial, one, other, split)
        if difference is not None:
            gains.append(difference)


def _pair(
    old: Run, new: Run, stage: Literal["screen", "confirm", "report"], split: Literal["visible", "hidden"]
) -> Pair:
    return Pair(seed=old.seed, baseline=getattr(old, split), experiment=getattr(new, split), stage=stage)


def _gain(trial: _Trial, old: Run, new: Run, split: Literal["visible", "hidden"]) -> float | None:
    before, after = getattr(old, split), getattr(new, split)
    return None if before is None or after is None else gain(before, after, trial.floor.direction)


def _values(runs: Sequence[Run], split: Literal["visible", "hidden"]) -> list[float]:
    return [value for value in (getattr(run, split) for run in runs) if value is not None]


def _memory_ratio(runs: Sequence[Run]) -> float | None:
    by_arm = {
        arm: [run.peak_memory_bytes for run in runs if run.arm == arm and run.peak_memory_bytes]
        for arm in ("baseline", "experiment")
    }
    if not all(by_arm.values()):
        return None
    return fmean(by_arm["experiment"]) / fmean(by_arm["baseline"])


def _lost(run: Run, curves: Sequence[Sequence[float]], baseline: Run) -> bool:
    return (
        run.train_tokens == baseline.train_tokens
        and run.loss_steps == baseline.loss_steps
        and diverged(run.losses, curves)
    )


def _result(trial: _Trial, ended: Ending) -> Experiment:
    gains = trial.reported if len(trial.reported) >= 2 else trial.hidden if len(trial.hidden) >= 2 else trial.visible
    whole = interval(gains) if gains else None
    pairs = [pair for pair in trial.pairs if (pair.stage == "screen") == (gains is trial.visible)] if gains else []
    worst = min(zip(trial.hidden, trial.pairs[len(trial.visible) :], strict=False), default=None, key=lambda it: it[0])
    return Experiment(
        pairs=tuple(trial.pairs),
        ended=ended,
        effect=whole.mean if whole else None,
        ci=(whole.low, whole.high) if whole and math.isfinite(whole.low) else None,
        t=_finite(t_statistic(gains)) if len(gains) >= 2 else None,
        cohens_d=cohens_d(
            [pair.baseline for pair in pairs if pair.baseline is not None],
            [pair.experiment for pair in pairs if pair.experiment is not None],
            trial.floor.direction,
        ),
        visible_effect=trial.visible_effect,
        speed_ratio=trial.speed,
        memory_ratio=trial.memory,
        kappa=trial.kappa,
        equal_time_effect=trial.timed,
        retrained=trial.retrained,
        screened=tuple(run for run in trial.runs if run.stage == "screen"),
        failed_runs=tuple(trial.failed()),
        worst_seed=worst[1].seed if worst else None,
        skewness=skewness(trial.hidden),
        promising=ended not in ("failed run", "screen", "too costly"),
    )


def _confirmed(experiment: Experiment) -> bool:
    return any(pair.stage == "confirm" for pair in experiment.pairs)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
