"""The self-test of a target: identical arms, and how often each rule would be fooled by this target's own noise."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from agents.budget import FLOOR_SEEDS
from agents.errors import BaselineRefused
from agents.measuring import Bench
from agents.nodes.baseline import floor_orders, floor_runs, same
from agents.records import Confidence, Run

SEEDS = 2 * FLOOR_SEEDS


def null_test(bench: Bench, *, seeds: int = SEEDS, confidence: Confidence = "standard") -> dict[str, Any]:
    """Train the baseline with `seeds` seeds and one of them twice; let each rule judge arms that do not differ.

    Raises:
        BaselineRefused: a run failed, or all seeds give the same metric.
    """
    from agents.false_wins import false_wins, shape

    runs, again = _arms(bench, seeds)
    values = [run.visible for run in runs if run.visible is not None]
    metric = bench.target.metric
    try:
        rules = false_wins(values, direction=metric.direction, confidence=confidence)
        noise = shape(values)
    except ValueError as error:
        raise BaselineRefused(f"The baseline cannot carry a verdict: {error}") from error
    return {
        "metric": metric.name,
        "direction": metric.direction,
        "preset": bench.preset,
        "train_tokens": bench.train_tokens,
        **noise,
        "identical": same(runs[0], again),
        "confidence": confidence,
        "rules": [asdict(rule) for rule in rules],
    }


def _arms(bench: Bench, seeds: int) -> tuple[list[Run], Run]:
    """The baseline's runs, those of the floor first, and its first seed as an experiment that changes nothing."""
    laboratory, base = bench.laboratory, bench.base
    key = laboratory.baseline_key(base, bench.preset, bench.train_tokens)
    floor = list(floor_runs(laboratory, key, base, bench.train_tokens))
    orders = floor_orders(key, base, bench.train_tokens, seeds)
    more = laboratory.run(orders[len(floor) :])
    (again,) = laboratory.run([replace(orders[0], arm="experiment", stage="screen")])
    runs = [*floor, *more]
    for run in (*runs, again):
        if run.status != "done":
            raise BaselineRefused(f"The baseline itself failed with seed {run.seed}: {run.error}.")
    return runs, again
