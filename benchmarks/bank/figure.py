"""The figure of the yield study: what each loop gains a run, and how many of its claims replicate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {  # colours that the colour-blind can tell apart (Okabe & Ito; Tol)
    "keep if lower": ("#D55E00", "--"),
    "keep if lower twice (the fair rival)": ("#E69F00", "--"),
    "the fair rival, by the clock": ("#882255", "--"),
    "2 sigma below the floor": ("#CC79A7", "--"),
    "Circle without screening": ("#56B4E9", ":"),
    "Circle without revision": ("#009E73", ":"),
    "Circle": ("#0072B2", "-"),
    "Circle's campaign": ("#000000", "-"),
    "an oracle": ("#999999", "-"),
}

LOWEST = -8.0
"""In sigmas for 100 runs: what is lost faster leaves the panel."""


class Point(NamedTuple):
    """A loop at a share of useful ideas and a budget: sigmas gained at equal time for 100 runs, claims replicated."""

    share: float
    budget: int
    loop: str
    gain: float
    replicating: float


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw one column for each share of useful ideas."""
    shares = sorted({point.share for point in points})
    figure = Figure(figsize=(3.4 * len(shares), 6.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(2, len(shares), sharex=True, sharey="row", squeeze=False)
    for share, gains, claims in zip(shares, *axes, strict=True):
        mine = [point for point in points if point.share == share]
        _lines(gains, mine, "gain")
        _lines(claims, mine, "replicating")
        gains.set_title(f"{share:.0%} of the ideas useful")
        gains.axhline(0, color="0.8", zorder=0)
        claims.set_xlabel("runs")
        claims.set_ylim(0, 1.02)
    axes[0][0].set_ylim(bottom=LOWEST)
    axes[0][0].set_ylabel("true gain at equal time,\nsigmas for 100 runs")
    axes[1][0].set_ylabel("share of claims\nthat replicate")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "circle", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _lines(axes: Axes, points: Sequence[Point], name: str) -> None:
    for loop, (colour, dashes) in STYLES.items():
        mine = sorted(point for point in points if point.loop == loop)
        values = [getattr(point, name) for point in mine]
        axes.plot([point.budget for point in mine], values, dashes, color=colour, label=loop, marker="o", markersize=3)
