"""What all figures share: colours that people with any colour vision tell apart, and SVG text of the same bytes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, BLUE, ORANGE = "#777777", "#1f6fb2", "#d9730d"


def canvas() -> tuple[Figure, Axes]:
    """Return an empty figure in the size and style of all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def svg(figure: Figure) -> str:
    """Return a figure as SVG: the same numbers give the same bytes."""
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "circle", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
