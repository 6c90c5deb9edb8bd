"""The figure of the noise study: what a gain of nothing looks like, with and without pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.noise.study import Study, hidden


def draw(studies: list[Study], path: Path) -> None:
    """Draws each preset's differences of the same code, in sigmas: of any two seeds, and of twins."""
    figure = Figure(figsize=(4.2 * len(studies), 2.6), layout="constrained")
    FigureCanvasSVG(figure)
    edges = np.linspace(-4, 4, 33).tolist()
    for place, study in enumerate(studies, start=1):
        axes = figure.add_subplot(1, len(studies), place)
        base = study.alone("base", hidden)
        sigma = base.std(ddof=1)
        unlike = (base[:, None] - base)[~np.eye(len(base), dtype=bool)]
        twins = study.gains("twin", hidden)
        axes.hist(unlike / sigma, edges, density=True, color="0.75", label="two seeds")
        axes.hist(twins / sigma, edges, density=True, histtype="step", color="tab:blue", label="one seed, twins")
        axes.set(title=f"{study.preset}, {len(base)} seeds", xlabel="difference of the hidden loss / sigma", yticks=[])
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
