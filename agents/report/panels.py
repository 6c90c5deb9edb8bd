"""A version's diagnosis as one figure of small panels, both arms in each: what the verdict's explanation points at."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from agents.diagnosis import Pairs, alone_pairs, arms_of, cool_down, pairs_of, parts_to_show, together, told_pairs
from agents.records import Baseline, Experiment
from agents.report.canvas import BLUE, GREY, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, MOST_PARTS = 4, 8
ARMS: tuple[tuple[str, str, Literal["--", "-"]], ...] = (("baseline", GREY, "--"), ("experiment", BLUE, "-"))
TEXT = 8


def diagnosis(floor: Baseline, experiment: Experiment) -> str:
    """Return the figure as SVG; a panel for which nothing was recorded is left out."""
    return svg(drawn(floor, experiment))


def drawn(floor: Baseline, experiment: Experiment) -> Figure:
    """Draw the losses, the time and the memory, then the norms of each part of the model."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    pairs = pairs_of(floor.runs, experiment.screened)
    parts = parts_to_show(pairs, MOST_PARTS)
    rows = -(-len(parts) // COLUMNS)
    with rc_context({"font.size": TEXT, "axes.titlesize": TEXT, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 2.6 + 3.4 * rows), layout="constrained")
        grid = figure.add_gridspec(1 + 2 * rows, COLUMNS)
        alone = alone_pairs(floor, experiment)
        _losses(figure.add_subplot(grid[0, 0]), floor, experiment, pairs)
        if pairs:
            _lead(figure.add_subplot(grid[0, 1]), pairs)
        if any(new.diagnosis and new.diagnosis.phase_seconds for _, new in alone):
            _time(figure.add_subplot(grid[0, 2]), alone)
        if any(new.peak_memory_bytes for _, new in alone):
            _memory(figure.add_subplot(grid[0, 3]), alone)
        for index, part in enumerate(parts):
            row, column = divmod(index, COLUMNS)
            _norms(figure.add_subplot(grid[1 + row, column]), "gradient norm", part, pairs)
            _norms(figure.add_subplot(grid[1 + rows + row, column]), "relative update", part, pairs)
        _legend(figure, len(pairs))
    return figure


def _legend(figure: Figure, seeds: int) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, linestyle=style, label=name) for name, colour, style in ARMS]
    title = "the dotted line is where the learning rate begins to fall"
    title = f"mean of {seeds} seeds; bands: one standard deviation between them; {title}" if seeds > 1 else title
    figure.legend(handles=lines, loc="outside upper center", ncols=2, frameon=False, title=title)


def _losses(axes: Axes, floor: Baseline, experiment: Experiment, pairs: Pairs) -> None:
    """Both arms' training losses; where no pair ended well, those of all runs."""
    for runs, (_, colour, style) in zip(arms_of(floor.runs, experiment.screened), ARMS, strict=True):
        steps, rows = together(runs)
        _band(axes, steps, rows, colour, style)
    _over_steps(axes, "training loss", "loss", pairs)


def _lead(axes: Axes, pairs: Pairs) -> None:
    """By how much the experiment's loss is lower than its pair's."""
    steps, rows = together([run for pair in pairs for run in pair])
    leads = [[a - b for a, b in zip(old, new, strict=True)] for old, new in zip(rows[::2], rows[1::2], strict=True)]
    axes.axhline(0, color="black", linewidth=0.6)
    _band(axes, steps, leads, BLUE, "-")
    late = [value for row in leads for value in row[len(row) // 4 :]]
    if late:  # the first steps' leads are the largest and mean the least
        margin = 0.1 * (max(late) - min(late)) or 0.01
        axes.set_ylim(min(0, *late) - margin, max(0, *late) + margin)
    _over_steps(axes, "lead in training loss", "baseline - experiment", pairs)


def _band(axes: Axes, steps: Sequence[int], rows: Sequence[Sequence[float]], colour: str, style: str) -> None:
    columns = list(zip(*rows, strict=True))
    means = [fmean(column) for column in columns]
    spread = [stdev(column) if len(column) > 1 else 0.0 for column in columns]
    low, high = ([mean + sign * s for mean, s in zip(means, spread, strict=True)] for sign in (-1, 1))
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, means, color=colour, linestyle=style, linewidth=1.1)


def _over_steps(axes: Axes, title: str, unit: str, pairs: Pairs) -> None:
    """The labels of a panel whose axis is the step; a dotted line where the learning rate begins to fall."""
    told = pairs[0][0].diagnosis if pairs else None
    cooling = cool_down(told) if told else None
    if cooling is not None:
        axes.axvline(cooling, color="black", linestyle=":", linewidth=0.8)
    axes.set_title(title, loc="left")
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.locator_params(nbins=4)


def _norms(axes: Axes, kind: str, part: str, pairs: Pairs) -> None:
    told = told_pairs(pairs)
    for arm, (_, colour, style) in enumerate(ARMS):
        tables = [pair[arm].gradient_norms if kind == "gradient norm" else pair[arm].update_norms for pair in told]
        _band(axes, told[0][0].steps, [table[part] for table in tables], colour, style)
    unit = "norm" if kind == "gradient norm" else "|change| / |weights|"
    _over_steps(axes, f"{kind}, {part}", unit, pairs)


def _time(axes: Axes, pairs: Pairs) -> None:
    """Seconds of a run in each phase, the arms' bars side by side."""
    told = [(old.diagnosis, new.diagnosis) for old, new in pairs if old.diagnosis and new.diagnosis]
    longest: dict[str, float] = {}
    for name, seconds in (item for pair in told for one in pair for item in one.phase_seconds.items()):
        longest[name] = max(seconds, longest.get(name, 0.0))
    phases = sorted(longest, key=lambda name: (-longest[name], name))
    for arm, (_, colour, _) in enumerate(ARMS):
        means = [fmean(pair[arm].phase_seconds.get(phase, 0.0) for pair in told) for phase in phases]
        axes.barh([place + 0.4 * arm for place in range(len(phases))], means, height=0.38, color=colour)
    axes.set_yticks([place + 0.2 for place in range(len(phases))], phases)
    axes.invert_yaxis()
    axes.set_title("time", loc="left")
    alone = bool(pairs) and pairs[0][1].stage == "timing"
    axes.set_xlabel("seconds of a run, alone" if alone else "seconds of a run")
    axes.locator_params(axis="x", nbins=4)


def _memory(axes: Axes, pairs: Pairs) -> None:
    """The peak of each run as a dot, its arm's mean as a bar."""
    for arm, (_, colour, _) in enumerate(ARMS):
        peaks = [pair[arm].peak_memory_bytes for pair in pairs]
        known = [peak / 2**20 for peak in peaks if peak]
        if known:
            axes.bar([arm], [fmean(known)], width=0.6, color=colour)
            axes.scatter([arm] * len(known), known, color="black", s=6, zorder=3)
    axes.set_xticks([0, 1], [name for name, _, _ in ARMS])
    axes.set_title("peak memory", loc="left")
    axes.set_ylabel("MiB")
