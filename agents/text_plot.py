"""A plot as lines of text: colours and fine dots on a terminal, plain ASCII in a pipe and where NO_COLOR says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import TextIO

GREY, BLUE, ORANGE, GREEN, RED = "gray", "blue+", "orange+", "green+", "red+"
_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼", "-|+++++++++")
_TICK_COLUMNS, _TICK_ROWS = 12, 2
_MARGIN, _FLAT, _LEAST = 0.05, 1e-6, 1e-12


class Terminal(NamedTuple):
    """Where a plot is shown: its columns, and whether it has colours and more than ASCII."""

    columns: int
    coloured: bool


class Entry(NamedTuple):
    """What is told apart in a plot: its name, its colour, and the character that stands for it.

    On a terminal with colours a curve is drawn in dots, which are finer.
    """

    name: str
    colour: str
    mark: str
    curve: bool = False


def terminal_of(stream: TextIO) -> Terminal:
    """Return what a stream shows: colours only on a terminal, and not against a person's NO_COLOR."""
    wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    unicode = stream.encoding.lower() in ("utf-8", "utf8")
    return Terminal(shutil.get_terminal_size().columns, wanted and unicode)


class TextPlot:
    """One plot as wide as the terminal, with so many rows above its axis.

    The library has a single figure, so that the next plot is begun when this one is text. Its compiled part ends the
    process where a line leads far outside: all that is drawn is finite and within the axes.
    """

    def __init__(self, terminal: Terminal, rows: int) -> None:
        import plotext

        self._terminal, self._rows, self._library = terminal, rows, plotext
        self._limits: dict[str, tuple[float, float]] = {}
        plotext.terminal.limit(width=False, height=False)
        self._figure: Any = plotext.figure.clear()
        self._figure.theme("colorless").plot_size(terminal.columns, rows + 2)
        self._figure.axes(False, side=1)

    def across(self, low: float, high: float, *, counts: bool = False) -> None:
        """Let the axis below go from `low` to `high`; what `counts` has whole numbers."""
        most = max(2, self._terminal.columns // _TICK_COLUMNS)
        self._scale("x", low, high, _ticks(low, high, most, 1.0 if counts else 0.0))

    def up(self, low: float, high: float) -> None:
        """Let the axis on the left go from a little below `low` to a little above `high`."""
        margin = max(_MARGIN * (high - low), _FLAT * max(abs(low), abs(high)), _LEAST)
        low, high = low - margin, high + margin
        self._scale("y", low, high, _ticks(low, high, max(2, self._rows // _TICK_ROWS)))

    def lines(self, left: Sequence[str], right: Sequence[str] = ()) -> None:
        """Give each line of the plot, from the top, its number from 0, and a name on the left, or on both sides."""
        for side, names in (("left", left), ("right", right)):
            if names:
                self._limits["y"] = (-0.5, self._rows - 0.5)
                ruler = self._figure.ruler("y", side)
                ruler.lim(*self._limits["y"]).direction(-1).ticks(list(range(len(names))), list(names))

    def level(self) -> None:
        """Draw the line of 0 across."""
        self._segment(self._limits["x"], (0, 0), "─-", GREY)

    def upright(self) -> None:
        """Draw the line of 0 from top to bottom."""
        self._segment((0, 0), self._limits["y"], "│|", GREY)

    def curve(self, points: Sequence[tuple[float, float]], entry: Entry) -> bool:
        """Draw a line through those of these points that are within the axes; return whether all are."""
        (left, right), (low, high) = self._limits["x"], self._limits["y"]
        within = [(x, y) for x, y in points if left <= x <= right and low <= y <= high]
        mark = self._mark("braille" if self._terminal.coloured else entry.mark, entry.colour)
        xs, ys = [x for x, _ in within], [y for _, y in within]
        self._figure.draw(self._figure.signal(xs, ys, marker=mark).lines())
        return len(within) == len(points)

    def span(self, low: float, high: float, y: float, colour: str) -> None:
        """Draw a line across, from `low` to `high`."""
        self._segment((low, high), (y, y), "─-", colour)

    def point(self, x: float, y: float, entry: Entry) -> None:
        """Draw one character."""
        self._figure.draw(self._figure.signal([x], [y], marker=self._mark(entry.mark, entry.colour)))

    def text(self, title: str, legend: Sequence[Entry] = ()) -> str:
        """Return the title, the legend and the plot as lines."""
        drawn = self._figure.build().string(colorless=not self._terminal.coloured)
        if not self._terminal.coloured:
            drawn = drawn.translate(_ASCII)
        told = ["  ".join(map(self._told, legend))] if legend else []
        return "\n".join([*wrap(title, self._terminal.columns), *told, *map(str.rstrip, drawn.splitlines())])

    def _scale(self, axis: str, low: float, high: float, ticks: Mapping[float, str]) -> None:
        self._limits[axis] = (low, high)
        self._figure.ruler(axis).lim(low, high).ticks(list(ticks), list(ticks.values()))

    def _segment(self, x: tuple[float, float], y: tuple[float, float], marks: str, colour: str) -> None:
        """Draw a straight line in the first of two marks, or in the second where there is only ASCII."""
        mark = self._mark(marks[0 if self._terminal.coloured else 1], colour)
        self._figure.draw(self._figure.segment(x, y, marker=mark))

    def _told(self, entry: Entry) -> str:
        said = f"{'⠶' if entry.curve and self._terminal.coloured else entry.mark} {entry.name}"
        if not self._terminal.coloured:
            return said
        return str(self._library.colorize(said).fill(entry.colour).string())

    def _mark(self, symbol: str, colour: str) -> Any:
        return self._library.marker(symbol, self._library.pixel(colour))


def _ticks(low: float, high: float, most: int, finest: float = 0.0) -> dict[float, str]:
    """Return about so many round numbers between the two, no finer than `finest` apart, with how each is written."""
    least = max((high - low) / most, finest)
    power = 10.0 ** floor(log10(least))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)
    numbers = [step * count for count in range(ceil(low / step), floor(high / step) + 1)]
    decimals = max(0, -floor(log10(step)))
    short = decimals <= 6 and max(abs(low), abs(high)) < 1e6
    return {number: f"{number:.{decimals}f}" if short else f"{number:.2e}" for number in numbers}
