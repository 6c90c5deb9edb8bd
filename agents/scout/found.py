"""Where a finished run reports: the numbers in its files and in what it printed, and which of them is the metric."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.records import Direction
from agents.settings import Train

_MEASURE = re.compile(
    r"(^|[^a-z])(loss|error|err|mse|rmse|mae|nll|bpb|bpc|perplexity|ppl|accuracy|acc|f1|auc|score|reward|return|r2|bleu|"
    r"map|iou|precision|recall)s?([^a-z]|$)"
)
_RISES = re.compile(r"(^|[^a-z])(accuracy|acc|f1|auc|score|reward|return|r2|bleu|map|iou|precision|recall)([^a-z]|$)")
_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|test|eval|evaluation|dev|held_?out)([^a-z]|$)")
_TRAINING = re.compile(r"(^|[^a-z])(train|training|tr)([^a-z]|$)")
_NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf)"
_PRINTED = re.compile(
    rf"(?P<name>[A-Za-z][A-Za-z0-9_ /@.-]{{0,40}}?)(?P<mark>\s*[:=]\s*|\s+)(?P<value>{_NUMBER})(?![\w.])"
)
_ALONE = r"(?<!\w)(?<![A-Za-z_] )"  # "loss" is not "best loss"
_WEIGHTS = (".safetensors", ".pt", ".pth", ".npz", ".npy", ".ckpt", ".pkl", ".joblib", ".bin", ".onnx")
_TABLES = {".csv": ",", ".tsv": "\t"}
_MOST_BYTES, _LINES = 4_000_000, 500
_PROGRESS = (
    Train.model_fields["progress"].default,
    r"(?i)\b(?:step|iter|iteration|epoch|batch)\s*[:=]?\s*(?P<step>\d+)\s*(?:/|of)\s*(?P<steps>\d+).*?\bloss\s*[:=]?\s*"
    r"(?P<loss>\S+)",
)


@dataclass(frozen=True)
class Place:
    """A number that may be the metric: its name and value, and the keys of [metric] that lead to it."""

    name: str
    value: float
    keys: Mapping[str, str]
    history: str = ""
    configs: str = ""
    says: Direction | None = None

    @property
    def direction(self) -> Direction:
        """Which way is better, as a person says, or its name."""
        if self.says:
            return self.says
        return "max" if _RISES.search(self.name.lower()) else "min"

    @property
    def rank(self) -> tuple[int, bool, bool, int]:
        """How much it looks like the number that a person would compare two runs by: a loss is finer than a share."""
        name = self.name.lower()
        held_out, training = bool(_HELD_OUT.search(name)), bool(_TRAINING.search(name))
        looks = 4 * bool(_MEASURE.search(name)) + 3 * held_out - 2 * training + bool(re.search("final", name))
        return looks, self.direction == "min", "file" in self.keys, -len(self.name)


def places(output: Path, log: str) -> list[Place]:
    """Return all that may be a run's metric, the likeliest first."""
    found = [place for file in _files(output) for place in _in_file(file, output)]
    found += _in_log(log)
    likely = [place for place in found if _MEASURE.search(place.name.lower())]
    return sorted(likely, key=lambda place: place.rank, reverse=True)


def named(found: list[Place], name: str) -> Place | None:
    """Return the place of the metric that a person names, by its whole name or by its last part."""
    return next((place for place in found if name in (place.name, place.name.rpartition(".")[2])), None)


def weights(output: Path) -> str:
    """Return the pattern of the largest file that looks like a run's weights, or nothing."""
    files = [file for file in _files(output) if file.suffix in _WEIGHTS]
    return pattern_of(max(files, key=lambda file: file.stat().st_size), output) if files else ""


def progress(log: str) -> str:
    """Return a pattern of the lines that tell of steps, or nothing if no known one matches."""
    return next((pattern for pattern in _PROGRESS if re.search(pattern, log)), "")


def pattern_of(file: Path, output: Path) -> str:
    """A file's place below the output folder; numbers in it may be others in the next run."""
    return re.sub(r"\d+", "*", str(file.relative_to(output)).replace("[", "[[]"))


def _files(output: Path) -> list[Path]:
    return sorted(path for path in output.rglob("*") if path.is_file() and not path.is_symlink())


def _in_file(file: Path, output: Path) -> Iterator[Place]:
    if file.stat().st_size > _MOST_BYTES or file.suffix not in (*_TABLES, ".json", ".jsonl"):
        return
    pattern = pattern_of(file, output)
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in _TABLES:
            yield from _in_table(text, pattern, _TABLES[file.suffix])
        else:
            document = json.loads(text.rstrip().rpartition("\n")[2] if file.suffix == ".jsonl" else text)
            yield from _in_document(document, pattern)
    except (ValueError, RecursionError, csv.Error):
        return


def _in_table(text: str, pattern: str, separator: str) -> Iterator[Place]:
    rows = list(csv.DictReader(text.splitlines(), delimiter=separator))
    for column in rows[0] if rows else ():
        cells = [cell for row in rows if (cell := (row[column] or "").strip())]
        if column and cells and all(_is_number(cell) for cell in cells):
            yield Place(column, float(cells[-1]), {"file": pattern, "value": column})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_document(document: Any, pattern: str) -> Iterator[Place]:
    leaves = dict(_leaves(document))
    configs = next((name for name, value in leaves.items() if _names_settings(name, value)), "")
    for name, value in leaves.items():
        if type(value) in (int, float) and not (configs and name.startswith(configs)):
            history = next((other for other, values in leaves.items() if _is_history(other, values, name)), "")
            yield Place(name, float(value), {"file": pattern, "value": name}, history, configs)


def _leaves(document: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items() if isinstance(document, Mapping) else ():
        yield f"{above}{name}", value
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")


def _names_settings(name: str, value: Any) -> bool:
    return isinstance(value, Mapping) and bool(re.search(r"(^|\.)(config|configs|args|hparams|params|settings)$", name))


def _is_history(other: str, values: Any, name: str) -> bool:
    """Whether a list holds the metric at its evaluations, as `val_losses` does for `val_loss`."""
    if not isinstance(values, list) or len(values) < 2 or not all(type(value) in (int, float) for value in values):
        return False
    leaf, list_leaf = name.rpartition(".")[2], other.rpartition(".")[2]
    return list_leaf in (leaf, f"{leaf}s", f"{leaf}es", f"{leaf}_history")


def _in_log(log: str) -> Iterator[Place]:
    """The numbers that lines give a name; of each name the last."""
    last: dict[tuple[str, str], float] = {}
    for line in (line for line in log.splitlines()[-_LINES:] if len(line) < _LINES):
        for match in _PRINTED.finditer(line):
            words = re.sub(r"^.*\b(?:step|epoch|iter)\b\s*", "", match["name"].strip(), flags=re.IGNORECASE)
            if _MEASURE.search(words.lower()) and not words.lower().endswith(("step", "epoch", "iter", "lr")):
                mark = match["mark"].strip() or " "
                last.pop((words, mark), None)
                last[words, mark] = float(match["value"])
    for (words, mark), value in last.items():
        gap = rf"\s*{re.escape(mark)}\s*" if mark != " " else r"\s+"
        pattern = rf"{_ALONE}{re.escape(words)}{gap}(?P<value>{_NUMBER})"
        if [str(float(match["value"])) for match in re.finditer(pattern, log)][-1:] == [str(value)]:
            yield Place(words, value, {"pattern": pattern})
