"""Short real runs of a repo: where it reports, whether its seed does what seeds do, and what is wrong in a sentence."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agents.errors import TargetError
from agents.laboratory.local import LocalLaboratory, Looked
from agents.ports import Order, Reporter
from agents.records import Run, Split
from agents.scout.draft import Lengths, Reports
from agents.scout.found import Place, named, places, progress, weights
from agents.scout.survey import Survey

SEEDS = (1, 2)
SHORT_SECONDS = 60.0
_GROWTH = 5
_REFUSED = re.compile(r"(Read-only file system|Permission denied)[^'\"]*['\"]?([^'\"]*)")


_REQUIRED = re.compile(r"(?i)required|missing (argument|option)|usage:")


@dataclass(frozen=True)
class Tried:
    """A short run that ended well: its length, what it took, and where it reports."""

    lengths: Lengths
    reports: Reports


def explore(
    laboratory: LocalLaboratory, survey: Survey, lengths: Lengths, metric: str, scratch: Path, report: Reporter
) -> Tried:
    """Run the script on a copy of its repo until it reports a metric, each time longer; return where it does.

    Raises:
        TargetError: it fails, it writes beside its output folder, or there is no metric.
    """
    lengths, looked, place = _shortest(laboratory, survey, lengths, metric, scratch, report)
    if lengths.tried > lengths.short:
        looked, seconds = _looked(laboratory, survey, lengths.whole, scratch, report)
        lengths = replace(lengths, timed=lengths.whole, seconds=seconds)
        likeliest = _chosen(places(looked.output, looked.log), metric)
        if likeliest and likeliest.name != place.name:  # a short run has not come to where the metric is told
            longer, _, _ = _shortest(laboratory, survey, lengths, likeliest.name, scratch, report)
            lengths = replace(lengths, short=longer.short)
        place = likeliest or place
    reports = Reports(place, weights(looked.output), progress(looked.log), _volatile(survey, place))
    return Tried(lengths, reports)


def _shortest(
    laboratory: LocalLaboratory, survey: Survey, lengths: Lengths, metric: str, scratch: Path, report: Reporter
) -> tuple[Lengths, Looked, Place]:
    """Run longer and longer until the metric is reported; return the lengths, the last run, and where it reported."""
    length = lengths.short
    while True:
        looked, seconds = _looked(laboratory, survey, length, scratch, report)
        found = places(looked.output, looked.log)
        if place := _chosen(found, metric):
            return replace(lengths, short=length, timed=length, seconds=seconds), looked, place
        longer = min(lengths.whole, length * _GROWTH)
        if longer == length or seconds * _GROWTH > SHORT_SECONDS:
            raise TargetError(_no_metric(survey, found, metric))
        length = longer


def _chosen(found: list[Place], metric: str) -> Place | None:
    return named(found, metric) if metric else next(iter(found), None)


def compare(laboratory: LocalLaboratory, base: str, length: int, metric: str) -> list[Run]:
    """Do two short runs with two seeds as a session would, and the first again, to see whether it is the same.

    Raises:
        TargetError: a run fails, all are identical, or one seed gives two results.
    """
    seeds = (*SEEDS, SEEDS[0])
    splits: tuple[Split, ...] = ("visible",) if laboratory.target.evaluation.self_reported else ("visible", "hidden")
    orders = [Order("baseline", "floor", seed, base, length, splits=splits) for seed in seeds]
    orders[-1] = replace(orders[-1], beside="again")
    runs = laboratory.run(orders)
    if failed := next((run for run in runs if run.status != "done"), None):
        raise TargetError(f"A short run with seed {failed.seed} failed: {failed.error}.")
    one, other, again = runs
    if _same(one, other):
        raise TargetError(
            f"Runs with the seeds {one.seed} and {other.seed} are identical ({metric} {one.visible}): what is given "
            "as the seed changes nothing. Let the script draw its initial weights and its data's order by it."
        )
    if not _same(one, again):
        raise TargetError(
            f"Two runs with the seed {one.seed} gave {metric} {one.visible} and {again.visible}: what is given as the "
            "seed does not set all that is random. Let it seed every generator (random, numpy, torch), and let nothing "
            "follow from the time or from the order of a set."
        )
    return runs


def weights_repeat(runs: Sequence[Run]) -> bool:
    """Whether the same seed left the same weights file, byte for byte."""
    return runs[0].weights_sha256 == runs[-1].weights_sha256


def _same(one: Run, other: Run) -> bool:
    return (one.visible, one.losses, one.history) == (other.visible, other.losses, other.history)


def _looked(
    laboratory: LocalLaboratory, survey: Survey, length: int, scratch: Path, report: Reporter
) -> tuple[Looked, float]:
    """Run once on a copy of the code that can be written to, so that what is written there is seen; complain of it."""
    report("trying", script=survey.script, length=length)
    began = time.monotonic()
    order = Order("baseline", "floor", SEEDS[0], laboratory.base, length)
    looked = laboratory.look(order, Path(tempfile.mkdtemp(dir=scratch)), _GROWTH * SHORT_SECONDS)
    ended, seconds = looked.ended, round(time.monotonic() - began, 3)
    if ended.timed_out:
        raise TargetError(
            f"{survey.script} was still running after {seconds:.0f} s with a length of {length}: let a setting such as "
            "--steps say how long a run is, so that a short one can be tried."
        )
    if ended.returncode != 0 or ended.exceeded:
        raise TargetError(_failure(survey, ended.exceeded or "\n".join(ended.tail), ended.returncode))
    if looked.changed:
        raise TargetError(_beside(survey, looked.changed))
    return looked, seconds


def _failure(survey: Survey, tail: str, code: int) -> str:
    last = tail.strip().rpartition("\n")[2] or f"exit code {code}, without a word"
    if refused := _REFUSED.search(tail):
        return _beside(survey, refused[2].strip() or "a place of its own")
    needs = " (--words of circle init adds words to its command)" if _REQUIRED.search(last) else ""
    return f"{survey.script} failed when it was run as a session would: {last}{needs}"


def _beside(survey: Survey, path: str) -> str:
    told = f"its setting {survey.output.name} is that folder" if survey.output else "let a setting name that folder"
    return (
        f"{survey.script} writes {path}, outside its run's folder: runs side by side would disturb each other. "
        f"Let it write below one folder; {told}."
    )


def _no_metric(survey: Survey, found: list[Place], wanted: str) -> str:
    seen = ", ".join(dict.fromkeys(place.name for place in found)) or "none"
    if wanted:
        return f"{survey.script} reports no {wanted}; the numbers that it reports are: {seen}."
    return (
        f"{survey.script} reports no metric: no number in a JSON, JSON lines or CSV file below its output folder, and "
        "none that it prints, is named as a loss, an error or a score. Let it print one, as in 'val_loss 1.234', or "
        "name it with --metric."
    )


def _volatile(survey: Survey, place: Place) -> tuple[str, ...]:
    """The settings of a run that equal ones may differ in."""
    roles = (role for role in (survey.seed, survey.output) if role)
    return tuple(dict.fromkeys(name for role in roles for name in (role.name, role.word))) if place.configs else ()
