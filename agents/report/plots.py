"""A version's figures as SVG text: the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from agents.records import Baseline, Pair, Version
from agents.report.canvas import BLUE, GREY, ORANGE, canvas, svg
from agents.report.panels import diagnosis
from agents.statistics import gain


def figures(floor: Baseline, versions: Sequence[Version], *, ended: bool) -> dict[str, Callable[[], str]]:
    """Return what draws the figures, by name: for each version that was run its diagnosis and its pairs' gains.

    Until the session has `ended`, the pairs of a version that has not won are those of its screen alone.
    """
    measured = [(version.n, version.experiment, version.verdict) for version in versions if version.experiment]
    found: dict[str, Callable[[], str]] = {}
    for n, experiment, verdict in measured:
        if experiment.screened:
            found[f"v{n}-diagnosis"] = partial(diagnosis, floor, experiment)
        if experiment.pairs:
            told = ended or (verdict is not None and verdict.outcome == "win")
            pairs = tuple(pair for pair in experiment.pairs if told or pair.stage == "screen")
            found[f"v{n}-pairs"] = partial(_pairs, floor, n, pairs)
    return found


def _pairs(floor: Baseline, n: int, pairs: Sequence[Pair]) -> str:
    """Every pair's gain, by stage; points right of the line are better than their baseline."""
    figure, axes = canvas()
    colours = {"screen": GREY, "confirm": BLUE, "report": ORANGE}
    for stage, colour in colours.items():
        gains = [
            (row, gain(pair.baseline, pair.experiment, floor.direction))
            for row, pair in enumerate(pairs)
            if pair.stage == stage and pair.baseline is not None and pair.experiment is not None
        ]
        if gains:
            axes.scatter([g for _, g in gains], [row for row, _ in gains], color=colour, s=18, label=stage)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvspan(-floor.std, floor.std, color=GREY, alpha=0.12, label="one sigma of the baseline")
    axes.set_xlabel(f"gain in {floor.metric} of version {n}, per pair (right is better)")
    axes.set_yticks([])
    axes.legend(frameon=False)
    return svg(figure)
