"""One experiment while it is being run: what may be ordered, and what has been measured so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.budget import affords
from agents.errors import BaselineRefused
from agents.nodes.regression import charge
from agents.plausibility import copied, implausible, other_tokens, too_little_work
from agents.ports import Context, Order, Switches, switched
from agents.records import Arm, Baseline, Ending, Experiment, Flag, Interval, Pair, Run, Split, Stage, Version
from agents.state import State, spend_of, versions_of
from agents.statistics import (
    ATTEMPTS,
    LEVEL,
    Floor,
    cohens_d,
    diverged,
    gain,
    interval,
    screen,
    seed,
    skewness,
    t_statistic,
)

PairStage = Literal["screen", "confirm", "report"]
_FEW = 4


@dataclass
class Trial:
    """What the stages of an experiment share. Gains are by stage: the screen's visible, the others hidden."""

    context: Context
    state: State
    version: Version
    floor: Baseline
    runs: list[Run] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    gains: dict[PairStage, list[float]] = field(default_factory=lambda: {"screen": [], "confirm": [], "report": []})
    speed: Interval | None = None
    memory: float | None = None
    kappa: float | None = None
    timed: Interval | None = None
    retrained: bool = False

    def order(self, arm: Arm, stage: Stage, seed: int, split: Split | None = None) -> Order:
        """Return the order of one whole run of this version, or of the base commit for the baseline arm."""
        assert self.version.patch is not None
        session = self.context.session
        commit = self.version.patch.commit if arm == "experiment" else session.base
        flags = self.flags(self.version.plan.flags if arm == "experiment" else ())
        splits: tuple[Split, ...] = (split,) if split else ()
        return Order(arm, stage, seed, commit, session.train_tokens, flags=flags, splits=splits)

    def flags(self, own: Sequence[Flag]) -> Switches:
        """Return an arm's own flags, over those that both arms have."""
        return switched(self.context.session.standing, own)

    def train(self, orders: Sequence[Order]) -> list[Run] | None:
        """Return the runs of the orders, or None where the budget has no room for them.

        Raises:
            BaselineRefused: the baseline, which trained well for the floor, failed.
        """
        session = self.context.session
        spend = spend_of({**self.state, "runs": self.state.get("runs", {}) | charge(self.runs)})
        elapsed = {"wall_seconds": self.context.clock.elapsed(f"before {orders[0].key}") if orders else 0.0}
        if not affords(session.budget, spend.model_copy(update=elapsed), len(orders), session.workers):
            return None
        runs = self.context.laboratory.run(orders)
        self.runs += runs
        for run in runs:
            if run.arm == "baseline" and run.status != "done":
                raise BaselineRefused(f"A run of the baseline failed with seed {run.seed}: {run.error}.")
        return runs

    def pair_up(self, old: Sequence[Run], new: Sequence[Run], stage: PairStage) -> None:
        """Take note of pairs, and of their gains; a run that failed, or that nobody would believe, is no difference."""
        pairs = [(one, self._believed(one, other, stage)) for one, other in zip(old, new, strict=True)]
        failed = self.failed
        for one, other in pairs:
            before, after = _metric(one, stage), _metric(other, stage)
            self.pairs.append(Pair(seed=one.seed, baseline=before, experiment=after, stage=stage))
            if before is not None and after is not None and other not in failed:
                self.gains[stage].append(gain(before, after, self.floor.direction))

    def _believed(self, before: Run, after: Run, stage: PairStage) -> Run:
        """Return the experiment's run of a pair, refused if no honest run could be like it."""
        old, new = _metric(before, stage), _metric(after, stage)
        doubt = copied(after, [*self.floor.runs, *self.runs]) or other_tokens(before, after)
        if doubt is None and old is not None and new is not None and self.context.target.evaluation.model:
            doubt = implausible(old, new, self.floor.std)
        if doubt is None:
            return after
        refused = after.model_copy(update={"status": "refused", "error": doubt})
        self.runs[self.runs.index(after)] = refused
        return refused

    def seeds(self, bank: str, first: int, last: int) -> list[int]:
        """Return the seeds first..last-1 of a bank of the session's secret."""
        secret = bytes.fromhex(self.context.session.secret)
        return [seed(secret, bank, index) for index in range(first, last)]

    @property
    def _warnings(self) -> tuple[str, ...]:
        known = [*self.floor.runs, *self.runs]
        found = (too_little_work(run, known) for run in self.runs if run.arm == "experiment")
        return tuple(warning for warning in found if warning)

    @property
    def bank(self) -> str:
        """The bank of the confirmation's seeds: after so many confirmations on one, the next has new baselines."""
        earlier = [old.experiment for old in versions_of(self.state)[:-1] if old.experiment]
        confirmed = [experiment for experiment in earlier if any(pair.stage == "confirm" for pair in experiment.pairs)]
        return f"confirmation {len(confirmed) // ATTEMPTS[self.context.session.confidence]}"

    @property
    def visible_effect(self) -> Interval | None:
        """The gain at equal tokens with its 80 % interval; a few pairs borrow the floor's spread."""
        gains = self.gains["screen"]
        if not gains:
            return None
        return interval(gains, LEVEL, floor=self.noise_floor if len(gains) < _FEW else None)

    @property
    def noise_floor(self) -> Floor:
        """The baseline's noise, for the arithmetic."""
        return Floor(self.floor.n, self.floor.mean, self.floor.std)

    @property
    def parameter_ratio(self) -> float | None:
        """The experiment's number of parameters over the baseline's, as the evaluator counted them."""
        old, new = (
            next((run.parameters for run in runs if run.parameters), None)
            for runs in (self.floor.runs, [run for run in self.runs if run.arm == "experiment"])
        )
        return new / old if old and new else None

    @property
    def survives(self) -> bool:
        """Whether the screen let the version on: promising, which claims nothing."""
        return screen(self.gains["screen"], self.floor.std) == "survives"

    @property
    def failed(self) -> list[Run]:
        """The experiment's runs that failed, or whose loss left every baseline's curve for good."""
        return [run for run in self.runs if run.arm == "experiment" and (run.status != "done" or self._lost(run))]

    def _lost(self, run: Run) -> bool:
        first = self.floor.runs[0]
        comparable = (run.train_tokens, run.loss_steps) == (first.train_tokens, first.loss_steps)
        return comparable and diverged(run.losses, [old.losses for old in self.floor.runs])

    def result(self, ended: Ending) -> Experiment:
        """Return all of it as a record; the effect is that of the newest stage with at least two pairs."""
        newest_first: tuple[PairStage, ...] = ("report", "confirm", "screen")
        stage = next((name for name in newest_first if len(self.gains[name]) >= 2), None)
        gains = self.gains[stage] if stage else []
        whole = interval(gains) if gains else None
        pairs = [pair for pair in self.pairs if pair.stage == stage]
        return Experiment(
            pairs=tuple(self.pairs),
            ended=ended,
            effect=whole.mean if whole else None,
            effect_pairs=len(gains),
            ci=(whole.low, whole.high) if whole else None,
            t=_finite(t_statistic(gains)) if gains else None,
            cohens_d=cohens_d(
                [pair.baseline for pair in pairs if pair.baseline is not None],
                [pair.experiment for pair in pairs if pair.experiment is not None],
                self.floor.direction,
            ),
            visible_effect=self.visible_effect,
            speed_ratio=self.speed,
            memory_ratio=self.memory,
            parameter_ratio=self.parameter_ratio,
            kappa=self.kappa,
            equal_time_effect=self.timed,
            retrained=self.retrained,
            screened=tuple(run for run in self.runs if run.stage == "screen"),
            timed=tuple(run for run in self.runs if run.stage == "timing"),
            failed_runs=tuple(self.failed),
            worst_seed=self._worst_seed(),
            skewness=skewness(self.gains["confirm"]),
            promising=ended not in ("failed run", "too costly") and self.survives,
            warnings=self._warnings,
        )

    def _worst_seed(self) -> int | None:
        confirmed = [pair for pair in self.pairs if pair.stage == "confirm"]
        gains = self.gains["confirm"]
        if not gains or len(gains) != len(confirmed):
            return None
        return confirmed[gains.index(min(gains))].seed


def _metric(run: Run, stage: PairStage) -> float | None:
    return run.visible if stage == "screen" else run.hidden


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
