"""A run's own words about itself: a JSON file, the last line of a .jsonl file, a table's column, or what it printed."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.laboratory.diagnosis import read_diagnosis
from agents.records import Diagnosis
from agents.settings import Metric

_MOST_BYTES = 16_000_000
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


class ReportMissing(Exception):
    """A run ended well but did not leave the report that circle.toml promises."""


class NotFinite(ReportMissing):
    """What a run says of itself is no finite number: its training has diverged."""


@dataclass(frozen=True)
class Report:
    """A run's own words about itself: shown, compared between equal runs; a verdict's number where nothing else is."""

    value: float
    history: tuple[float, ...] = ()
    configs: dict[str, Any] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    weights_sha256: str | None = None


def read_report(output: Path, metric: Metric, log: Path | None = None) -> Report:
    """Read what a run says of itself and hash its weights; `log` is what it printed, kept by whoever watched it.

    Raises:
        ReportMissing: it says nothing that can be read, in a sentence; NotFinite, if it is no finite number.
    """
    report = _printed(metric, log) if metric.pattern else _written(output, metric)
    if not math.isfinite(report.value):
        raise NotFinite(f"the run gives {metric.name} as {report.value}")
    weights = sha256_of(newest(output, metric.weights)) if metric.weights else None
    return Report(report.value, report.history, report.configs, report.diagnosis, weights)


def _printed(metric: Metric, log: Path | None) -> Report:
    try:
        text = _end_of(log) if log else ""
        values = [float(match["value"]) for match in re.finditer(metric.pattern, text, re.MULTILINE)]
    except (OSError, ValueError, TypeError) as error:
        raise ReportMissing(f"{metric.name} cannot be read from what the run printed: {error}") from error
    if not values:
        raise ReportMissing(f"no line that the run printed matches the pattern of {metric.name}, {metric.pattern!r}")
    return Report(values[-1], tuple(value for value in values if math.isfinite(value)))


def _end_of(log: Path) -> str:
    """The last 16 MB of a log."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _MOST_BYTES))
        return stream.read().decode(errors="replace")


def _written(output: Path, metric: Metric) -> Report:
    file = newest(output, metric.file)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES // 10**6} MB")
        if file.suffix in _SEPARATORS:
            return _table(file, metric)
        text = file.read_text(encoding="utf-8")
        document = _document(text.rstrip().rpartition("\n")[2] if file.suffix == ".jsonl" else text)
        history = tuple(float(number) for number in part_of(document, metric.history)) if metric.history else ()
        configs = dict(part_of(document, metric.configs)) if metric.configs else {}
        _check_plain(history, configs)
        return Report(
            value=float(part_of(document, metric.value)),
            history=history,
            configs={key: item for key, item in configs.items() if key not in metric.volatile},
            diagnosis=read_diagnosis(document, metric.diagnosis) if metric.diagnosis else None,
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ReportMissing(f"the metrics file {file.name} cannot be used: {error}") from error


def _table(file: Path, metric: Metric) -> Report:
    """The numbers of a column; the last one counts, and rows that have none are of something else."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter=_SEPARATORS[file.suffix])
        if metric.value not in (rows.fieldnames or ()):
            raise KeyError(metric.value)
        values = [float(cell) for row in rows if (cell := (row[metric.value] or "").strip())]
    if not values:
        raise ValueError(f"its column {metric.value} has no number")
    return Report(values[-1], tuple(value for value in values if math.isfinite(value)))


def _document(text: str) -> Any:
    """Read JSON; raise ValueError where two readers could take it for two different documents."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise ValueError(f"it gives {name} twice")
        document[name] = value
    return document


def _check_plain(history: tuple[float, ...], configs: dict[str, Any]) -> None:
    """Raise ValueError if what is kept of a report cannot be written down and read again."""
    if not all(map(math.isfinite, history)):
        raise ValueError("its history holds what is not a finite number")
    json.dumps(configs, allow_nan=False, ensure_ascii=False).encode()


def part_of(document: Any, dotted: str) -> Any:
    """Return a field of nested mappings by its dotted name; raise KeyError that names it."""
    if isinstance(document, Mapping) and dotted in document:
        return document[dotted]
    for part in dotted.split("."):
        if not isinstance(document, Mapping) or part not in document:
            raise KeyError(dotted)
        document = document[part]
    return document


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def newest(output: Path, pattern: str) -> Path:
    """Return the file of a run whose name is the last of those that match; raise ReportMissing if there is none."""
    files = sorted(path for path in output.glob(pattern) if path.is_file() and not path.is_symlink())
    if not files:
        raise ReportMissing(f"no file {pattern} was written")
    return files[-1]
