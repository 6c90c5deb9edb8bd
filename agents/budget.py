"""What a session will and may spend; the one place that routes by budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from agents.records import Budget, Confidence, Run, Session, Spend
from agents.settings import Preset
from agents.state import State, session_of, spend_of
from agents.statistics import BOUNDARIES, SCREEN, noise_floor, smallest_provable_effect

FLOOR_SEEDS, TIMING_PAIRS, REPORT_PAIRS = 8, 4, 4
_REGRESSION_RUNS = 3
_EQUAL_TIME_RUNS = SCREEN[0].n + SCREEN[-1].n
LONGEST_CHECK = 2 * REPORT_PAIRS
"""Pairs of an ablation or a scale whose first pairs leave it open."""
MOST_HELD = 4
"""How many ideas of a campaign are held before their confirmation while others are left to be screened."""


@dataclass(frozen=True)
class Forecast:
    """What to expect before the first run: a version that is dropped at once, and one that is confirmed last."""

    fewest_runs: int
    most_runs: int
    runs_a_version: int
    fewest_minutes: float
    most_minutes: float
    smallest_effect: float
    in_sigmas: bool
    allowed_runs: int | None = None

    @property
    def warning(self) -> str:
        """What the person's limit makes impossible, in a sentence; empty if it is none."""
        if self.allowed_runs is None or self.allowed_runs >= self.most_runs:
            return ""
        if self.allowed_runs < self.fewest_runs:
            return f"{self.allowed_runs} runs are allowed, and no verdict takes fewer than {self.fewest_runs}."
        return f"{self.allowed_runs} runs are allowed: enough to drop a version, perhaps too few to prove a small gain."


def forecast(session: Session, preset: Preset, recorded: Sequence[Run], ablations: int = 0) -> Forecast:
    """Return the runs and minutes of one version and the smallest effect that they can prove.

    The effect is in the metric's unit where a floor is on record, else in its sigmas; arms count as independent.
    """
    looks = BOUNDARIES[session.confidence]
    floor = 1 if recorded else FLOOR_SEEDS
    fewest = floor + _REGRESSION_RUNS + SCREEN[0].n
    pairs = 2 * TIMING_PAIRS + looks[-1].n + REPORT_PAIRS
    most = floor + _REGRESSION_RUNS + SCREEN[-1].n + _EQUAL_TIME_RUNS + 2 * pairs
    most += LONGEST_CHECK * ablations + 2 * REPORT_PAIRS * (ablations > 0)
    scales = [2 * LONGEST_CHECK * tokens / session.train_tokens for tokens in session.scales]
    seconds = fmean(run.train_seconds for run in recorded) if recorded else preset.seconds
    minutes = seconds / 60 / session.workers
    values = [run.visible for run in recorded if run.visible is not None]
    known = len(set(values)) > 1
    sigma = noise_floor(values).std if known else 1.0
    return Forecast(
        fewest_runs=fewest,
        most_runs=most + 2 * LONGEST_CHECK * len(scales),
        runs_a_version=most - floor,
        fewest_minutes=fewest * minutes,
        most_minutes=(most + sum(scales)) * minutes,
        smallest_effect=smallest_provable_effect(math.sqrt(2) * sigma, looks),
        in_sigmas=not known,
        allowed_runs=session.budget.max_runs,
    )


def screening_runs(floor: bool) -> int:
    """The most runs of a version up to its confirmation; without a `floor` on record that is measured first."""
    return (1 if floor else FLOOR_SEEDS) + _REGRESSION_RUNS + SCREEN[-1].n + _EQUAL_TIME_RUNS + 4 * TIMING_PAIRS


def confirmation_runs(confidence: Confidence, ablations: int, scales: int) -> int:
    """The most runs of a confirmation, and of what follows a win."""
    checks = LONGEST_CHECK * (ablations + 2 * scales) + 2 * REPORT_PAIRS * (ablations > 0)
    return 2 * (BOUNDARIES[confidence][-1].n + REPORT_PAIRS) + SCREEN[-1].n + checks


def judging_runs(confidence: Confidence, held: int) -> int:
    """The most runs that it takes to judge so many versions of a campaign that are held, all at once."""
    if held < 2:
        return held * confirmation_runs(confidence, 0, 0)
    return screening_runs(floor=True) + confirmation_runs(confidence, held, 0)


def exhausted(state: State) -> str | None:
    """Say in a sentence which budget is spent, or None while the session may go on."""
    budget, spend = session_of(state).budget, spend_of(state)
    if not affords(budget, spend, _REGRESSION_RUNS):
        return f"The budget is spent: {spend.runs} runs and {spend.wall_seconds / 3600:.2f} hours were used."
    return None


def no_more_versions(state: State) -> str | None:
    """Say in a sentence that no further version may be planned, or None."""
    limit = session_of(state).budget.max_versions
    if len(state.get("versions", [])) >= limit:
        return f"The budget is spent: {limit} version{'s were' if limit > 1 else ' was'} tried."
    return None


def affords(budget: Budget, spend: Spend, runs: int, workers: int = 1, expected_seconds: float = 0.0) -> bool:
    """Whether `runs` more runs fit: they are reserved before they are started, in number and in time.

    A run takes what the session's runs took so far; before the first one, `expected_seconds`.
    """
    if budget.max_runs is not None and spend.runs + runs > budget.max_runs:
        return False
    if budget.max_hours is None:
        return True
    seconds_per_run = spend.train_seconds / spend.runs if spend.runs else expected_seconds
    return spend.wall_seconds + runs * seconds_per_run / workers <= budget.max_hours * 3600
