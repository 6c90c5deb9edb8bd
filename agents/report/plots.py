"""Figures as SVG text: the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from agents.records import Baseline, Experiment, Run, Version
from agents.statistics import gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY, _BLUE, _ORANGE = "#777777", "#1f6fb2", "#d9730d"


def figures(floor: Baseline, versions: Sequence[Version]) -> dict[str, str]:
    """Return the figures by name: for each version that was run its curves and the gains of its pairs."""
    measured = [(version.n, version.experiment) for version in versions if version.experiment]
    drawn = {f"v{n}-curves": _curves(floor, experiment) for n, experiment in measured if experiment.screened}
    return drawn | {f"v{n}-pairs": _pairs(floor, n, experiment) for n, experiment in measured if experiment.pairs}


def _curves(floor: Baseline, experiment: Experiment) -> str:
    figure, axes = _canvas()
    _draw_runs(axes, floor.runs, _GREY, "baseline")
    _draw_runs(axes, experiment.screened, _BLUE, "experiment")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    return _svg(figure)


def _draw_runs(axes: Axes, runs: Sequence[Run], colour: str, name: str) -> None:
    for index, run in enumerate(run for run in runs if run.losses):
        label = f"{name} ({len(runs)} seeds)" if index == 0 else None
        axes.plot(run.loss_steps[: len(run.losses)], run.losses, color=colour, linewidth=0.8, alpha=0.6, label=label)


def _pairs(floor: Baseline, n: int, experiment: Experiment) -> str:
    """Every pair's gain, by stage; points right of the line are better than their baseline."""
    figure, axes = _canvas()
    colours = {"screen": _GREY, "confirm": _BLUE, "report": _ORANGE}
    for stage, colour in colours.items():
        gains = [
            (row, gain(pair.baseline, pair.experiment, floor.direction))
            for row, pair in enumerate(experiment.pairs)
            if pair.stage == stage and pair.baseline is not None and pair.experiment is not None
        ]
        if gains:
            axes.scatter([g for _, g in gains], [row for row, _ in gains], color=colour, s=18, label=stage)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvspan(-floor.std, floor.std, color=_GREY, alpha=0.12, label="one sigma of the baseline")
    axes.set_xlabel(f"gain in {floor.metric} of version {n}, per pair (right is better)")
    axes.set_yticks([])
    axes.legend(frameon=False)
    return _svg(figure)


def _canvas() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "circle", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
