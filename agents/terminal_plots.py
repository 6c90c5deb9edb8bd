"""A session's numbers as pictures of text, drawn from what `circle show --json` gives: what it blanks is not drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from agents.diagnosis import arms_of, together
from agents.plain_text import plain
from agents.records import Baseline, Run
from agents.statistics import gain
from agents.text_plot import BLUE, GREEN, GREY, ORANGE, RED, Entry, Terminal, TextPlot

ROWS = 9
NARROWEST, ROOM_FOR_NUMBERS = 30, 64
"""Columns below which a plot would be all axis, and from which a version's effect is written beside its line."""
METRIC_CHARACTERS = 40
SETTLED = 4
"""A curve's losses set the scale after one part in so many: the first are the largest and mean the least."""
LEAST, LARGEST = 1e-12, 1e100
"""Between them are the numbers that can be told apart from 0 and do not overflow."""
REACH = 5.0
"""How many times as far as the effect nearest to 0 the axis goes at most; what lies beyond is an arrow at its end."""
ARMS = (Entry("baseline", GREY, ".", curve=True), Entry("experiment", BLUE, "*", curve=True))
STAGES = {
    "screen": Entry("screen", GREY, "s"),
    "confirm": Entry("confirm", BLUE, "c"),
    "report": Entry("report", ORANGE, "r"),
}
OUTCOMES = {"win": GREEN, "loss": RED}


def pictures(shown: dict[str, Any], terminal: Terminal) -> list[str]:
    """Return the newest measured version's losses and its pairs' gains, then the effects of all versions."""
    measured = [version for version in shown["versions"] if version["experiment"]]
    if not measured or terminal.columns < NARROWEST:
        return []
    floor, newest = Baseline.model_validate(shown["baseline"]), measured[-1]
    drawn = (_losses(floor, newest, terminal), _gains(floor, newest, terminal), effects(shown, terminal))
    return [picture for picture in drawn if picture]


def effects(shown: dict[str, Any], terminal: Terminal) -> str:
    """Return what came of each version, a line each: its effect with its interval against 0; "" if none is known."""
    versions = shown["versions"]
    known = [(line, version) for line, version in enumerate(versions) if _effect(version) is not None]
    if not known or terminal.columns < NARROWEST:
        return ""
    plot = TextPlot(terminal, len(versions))
    reach = _reach(_interval(version) for _, version in known)
    plot.across(-reach, reach)
    roomy = terminal.columns >= ROOM_FOR_NUMBERS
    plot.lines([_name(version) for version in versions], [_numbers(version) for version in versions] if roomy else [])
    for line, version in known:
        _draw_interval(plot, line, version, reach)
    plot.upright()
    for line, version in known:
        _draw_effect(plot, line, version, reach)
    metric = _metric(shown["baseline"]["metric"])
    return plot.text(f"each version's effect on {metric}, with its interval; right of 0 is better")


def _losses(floor: Baseline, version: dict[str, Any], terminal: Terminal) -> str:
    """Both arms' mean training losses over the steps."""
    arms = arms_of(floor.runs, [Run.model_validate(run) for run in version["experiment"]["screened"]])
    curves = [_mean_curve(runs) for runs in arms]
    steps = {step for curve in curves for step, _ in curve}
    if not all(curves) or len(steps) == 1:
        return ""
    late = [loss for curve in curves for _, loss in curve[len(curve) // SETTLED :]]
    plot = TextPlot(terminal, ROWS)
    plot.across(min(steps), max(steps), counts=True)
    plot.up(min(late), max(late))
    whole = [plot.curve(curve, arm) for curve, arm in zip(curves, ARMS, strict=True)]
    left_out = "" if all(whole) else "; early losses are off the scale"
    return plot.text(f"training loss of V{version['n']} by step, mean of {_seeds(len(arms[1]))}{left_out}", ARMS)


def _gains(floor: Baseline, version: dict[str, Any], terminal: Terminal) -> str:
    """Every pair's gain, in the order in which they were run, as the first letter of its stage."""
    pairs = version["experiment"]["pairs"]
    points = [
        (number, better, STAGES[pair["stage"]])
        for number, pair in enumerate(pairs, 1)
        if pair["baseline"] is not None and pair["experiment"] is not None
        if abs(better := gain(pair["baseline"], pair["experiment"], floor.direction)) < LARGEST
    ]
    if not points:
        return ""
    gains = [value for _, value, _ in points]
    plot = TextPlot(terminal, ROWS)
    plot.across(0.5, len(pairs) + 0.5, counts=True)
    plot.up(min(0.0, *gains), max(0.0, *gains))
    plot.level()
    for number, value, stage in points:
        plot.point(number, value, stage)
    found = {stage for _, _, stage in points}
    title = f"each pair's gain in {_metric(floor.metric)}, V{version['n']}; above 0 is better, sigma is {floor.std:.2g}"
    return plot.text(title, [stage for stage in STAGES.values() if stage in found])


def _mean_curve(runs: Sequence[Run]) -> list[tuple[float, float]]:
    """The mean loss of all runs at each step at which all of them can be drawn."""
    steps, rows = together(runs)
    columns = zip(steps, zip(*rows, strict=True), strict=True) if rows else ()
    return [(step, fmean(column)) for step, column in columns if all(abs(loss) < LARGEST for loss in column)]


def _draw_interval(plot: TextPlot, line: int, version: dict[str, Any], reach: float) -> None:
    """A version's interval, as far as it is within the axis, with an arrow at each end that lies beyond."""
    low, high = _interval(version)
    if low < reach and high > -reach:
        plot.span(max(low, -reach), min(high, reach), line, _colour(version))
    for beyond, end, arrow in ((low < -reach, -reach, "<"), (high > reach, reach, ">")):
        if beyond:
            plot.point(end, line, Entry("beyond", _colour(version), arrow))


def _draw_effect(plot: TextPlot, line: int, version: dict[str, Any], reach: float) -> None:
    if abs(effect := version["experiment"]["effect"]) <= reach:
        plot.point(effect, line, Entry("effect", _colour(version), "o"))


def _reach(intervals: Iterable[tuple[float, float]]) -> float:
    """How far the axis goes to both sides: a version that is far off must not make the others one with 0."""
    farthest = [max(abs(low), abs(high)) for low, high in intervals]
    told = [far for far in farthest if LEAST < far < LARGEST]
    return min(max(told), REACH * min(told)) if told else 1.0


def _effect(version: dict[str, Any]) -> float | None:
    effect: float | None = version["experiment"]["effect"] if version["experiment"] else None
    return effect


def _interval(version: dict[str, Any]) -> tuple[float, float]:
    """An effect's interval; the effect alone where one pair gives none."""
    low, high = version["experiment"]["ci"] or [version["experiment"]["effect"]] * 2
    return low, high


def _outcome(version: dict[str, Any]) -> str:
    return version["verdict"]["outcome"] if version["verdict"] else ""


def _colour(version: dict[str, Any]) -> str:
    return OUTCOMES.get(_outcome(version), ORANGE)


def _name(version: dict[str, Any]) -> str:
    return f"V{version['n']} {_outcome(version)}".rstrip()


def _numbers(version: dict[str, Any]) -> str:
    """A version's effect and interval in digits, or why there are none."""
    experiment = version["experiment"]
    if not experiment:
        return " not measured"
    if experiment["effect"] is None:
        confirmed = any(pair["stage"] != "screen" for pair in experiment["pairs"])
        return " hidden until the session ends" if confirmed else " not measured"
    low, high = _interval(version)
    return f" {experiment['effect']:+.3g} [{low:+.3g}, {high:+.3g}]"


def _metric(name: str) -> str:
    return plain(name, METRIC_CHARACTERS)


def _seeds(count: int) -> str:
    return f"{count} seed{'s'[: count > 1]}"
