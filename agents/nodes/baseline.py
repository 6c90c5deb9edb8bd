"""Finds the baseline's recorded floor under its key, or measures it: n seeds, mean, deviation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from langgraph.runtime import Runtime

from agents.budget import FLOOR_SEEDS, affords, forecast
from agents.errors import BaselineRefused
from agents.ports import Context, Laboratory, Order, Switches, switched
from agents.records import Baseline, Run
from agents.report import documents
from agents.settings import Metric
from agents.state import State, spend_of, versions_of
from agents.statistics import noise_floor, seed


def baseline(state: State, runtime: Runtime[Context]) -> State:
    """Put the noise floor into the state, or leave it out where the budget has no room for it.

    The paper of a diff that the person brought is opened here, for it has no visit of the planner.
    """
    context = runtime.context
    session, laboratory = context.session, context.laboratory
    standing = switched(session.standing)
    key = laboratory.baseline_key(session.base, session.preset, session.train_tokens, standing)
    wanted = session.floor_checked or not session.fresh_baseline
    recorded = laboratory.recorded_baseline(key) if wanted else ()
    scale = context.target.scale(session.preset)
    ablations = sum(len(version.plan.ablations) for version in versions_of(state))
    expected = forecast(session, scale, recorded, ablations)
    context.report("forecast", forecast=expected, metric=context.target.metric.name)
    if not affords(session.budget, spend_of(state), FLOOR_SEEDS, session.workers, scale.seconds):
        return {"baseline": None}
    floor, trained = (
        (recorded, ())
        if recorded and session.floor_checked
        else measure_floor(laboratory, key, session.base, session.train_tokens, recorded, standing)
    )
    measured = summarise(floor, key, context.target.metric, reused=len(trained) < len(floor))
    context.report("baseline", baseline=measured)
    runs = {run.key: run.train_seconds for run in trained}
    update: State = {"baseline": measured.model_dump(mode="json"), "runs": runs}
    if state.get("versions"):
        update |= documents.written({**state, **update}, context, "Open the paper of a person's own diff")
    return update


def measure_floor(
    laboratory: Laboratory,
    key: str,
    base: str,
    train_tokens: int,
    recorded: Sequence[Run],
    standing: Switches = (),
) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return the floor's runs and those of them that were trained now.

    Recorded runs are used only if one of them, trained again, is the same bit for bit.
    """
    orders = [replace(order, flags=standing) for order in floor_orders(key, base, train_tokens)]
    if [run.seed for run in recorded] == [order.seed for order in orders]:
        (again,) = laboratory.run(orders[:1])
        if same(again, recorded[0]):
            return tuple(recorded), (again,)
    runs = tuple(laboratory.run(orders))
    for run in runs:
        if run.status != "done":
            raise BaselineRefused(f"The baseline itself failed with seed {run.seed}: {run.error}.")
    laboratory.record_baseline(key, runs)
    return runs, runs


def floor_orders(key: str, base: str, train_tokens: int, seeds: int = FLOOR_SEEDS) -> list[Order]:
    """Return the floor's orders; its seeds come from the baseline key, so that the floor can be found again."""
    secret = hashlib.sha256(key.encode()).digest()
    return [
        Order("baseline", "floor", seed(secret, "floor", index), base, train_tokens, splits=("visible",))
        for index in range(seeds)
    ]


def same(one: Run, other: Run) -> bool:
    """Whether two runs are the same bit for bit, in every logged loss and in their weights."""
    return (one.losses, one.history, one.reported, one.visible, one.weights_sha256) == (
        other.losses,
        other.history,
        other.reported,
        other.visible,
        other.weights_sha256,
    )


def floor_of(laboratory: Laboratory, metric: Metric, base: str, preset: str, train_tokens: int) -> Baseline:
    """Return the floor on record, or measure it: what `circle baseline` shows."""
    key = laboratory.baseline_key(base, preset, train_tokens)
    recorded = bool(laboratory.recorded_baseline(key))
    return summarise(floor_runs(laboratory, key, base, train_tokens), key, metric, reused=recorded)


def floor_runs(laboratory: Laboratory, key: str, base: str, train_tokens: int) -> tuple[Run, ...]:
    """Return the floor's runs on record under this key, or train them."""
    return laboratory.recorded_baseline(key) or measure_floor(laboratory, key, base, train_tokens, ())[0]


def summarise(runs: Sequence[Run], key: str, metric: Metric, *, reused: bool) -> Baseline:
    """Return the floor of these runs; raise BaselineRefused if they cannot carry a verdict."""
    try:
        floor = noise_floor([run.visible for run in runs if run.visible is not None])
    except ValueError as error:
        raise BaselineRefused(f"The baseline cannot carry a verdict: {error}") from error
    return Baseline(
        metric=metric.name,
        direction=metric.direction,
        n=floor.n,
        mean=floor.mean,
        std=floor.std,
        key=key,
        reused=reused,
        runs=tuple(runs),
    )
