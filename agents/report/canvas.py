"""What all figures share: colours that people with any colour vision tell apart, and SVG text of the same bytes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY, BLUE, ORANGE = "#777777", "#1f6fb2", "#d9730d"


def svg(figure: Figure) -> str:
    """Return a figure as SVG: the same numbers give the same bytes."""
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "circle", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
