"""The figure of the noise study: every gain over the base, by what the two runs share."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.noise.study import Study, hidden

SHARED = {
    "base": "nothing: two seeds",
    "order": "initial weights",
    "init": "data order",
    "rope": "both; RoPE base doubled",
    "decay": "both; weight decay doubled",
    "twin": "both; a change like rounding",
}


def draw(studies: list[Study], path: Path) -> None:
    """Draws each preset's gains in sigmas of the hidden loss, one row for each kind of pair."""
    figure = Figure(figsize=(4.4 * len(studies), 2.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, len(studies), sharey=True, squeeze=False)[0]
    for study, place in zip(studies, axes, strict=True):
        base = study.alone("base", hidden)
        for row, arm in enumerate(SHARED):
            apart = base[1::2] - base[: len(base) // 2 * 2 : 2]
            gains = apart if arm == "base" else study.gains(arm, hidden)
            place.plot(gains / base.std(ddof=1), np.full(len(gains), -row), "|", markersize=9, color="tab:blue")
        place.axvline(0, color="0.8", zorder=0)
        place.set(title=f"{study.preset}: {len(base)} seeds", xlabel="gain / sigma")
        place.set_yticks(range(0, -len(SHARED), -1), SHARED.values())
    with mpl.rc_context({"svg.hashsalt": "circle", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
