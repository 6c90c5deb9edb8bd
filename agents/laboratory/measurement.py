"""What a finished run left behind: its own report, and the trusted evaluation that counts."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import LaboratoryError
from agents.laboratory.process import Processes
from agents.laboratory.sandbox import Sandbox
from agents.records import Split
from agents.settings import Metric, Preset, Target


class ReportMissing(Exception):
    """A run ended well but did not leave the report that circle.toml promises."""


class ModelRefused(Exception):
    """A run is not measured: its model looks ahead, keeps state or gives no distribution, or it left a trap."""


@dataclass(frozen=True)
class Report:
    """A run's own words about itself: shown, compared between equal runs, never a verdict's number."""

    value: float
    history: tuple[float, ...]
    configs: dict[str, Any]
    weights_sha256: str | None


def read_report(output: Path, metric: Metric) -> Report:
    """Read the run's metrics file and hash its weights; raise ReportMissing with a sentence if it can't be."""
    file = _newest(output, metric.file)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        value = float(field(document, metric.value))
        history = tuple(float(number) for number in field(document, metric.history)) if metric.history else ()
        configs = dict(field(document, metric.configs)) if metric.configs else {}
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ReportMissing(f"the metrics file {file.name} cannot be used: {error}") from error
    if not math.isfinite(value):
        raise ReportMissing(f"the metrics file {file.name} gives {metric.name} as {value}")
    kept = {key: item for key, item in configs.items() if key not in metric.volatile}
    weights = sha256_of(_newest(output, metric.weights)) if metric.weights else None
    return Report(value=value, history=history, configs=kept, weights_sha256=weights)


def refuse_links(output: Path) -> None:
    """Raise ModelRefused if a run left anything but files and folders: a link leads the reader out of its folder."""
    for folder, folders, files in os.walk(output):
        for name in [*folders, *files]:
            path = Path(folder) / name
            status = path.lstat()
            plain_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
            if not plain_file and not stat.S_ISDIR(status.st_mode):
                raise ModelRefused(f"the run left a link or a special file, {path.relative_to(output)}")


def field(document: Any, dotted: str) -> Any:
    """Return a field of nested mappings by its dotted name; raise KeyError that names it."""
    for part in dotted.split("."):
        if not isinstance(document, Mapping) or part not in document:
            raise KeyError(dotted)
        document = document[part]
    return document


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _newest(output: Path, pattern: str) -> Path:
    files = sorted(path for path in output.glob(pattern) if path.is_file() and not path.is_symlink())
    if not files:
        raise ReportMissing(f"no file {pattern} was written")
    return files[-1]


@dataclass(frozen=True)
class Evaluator:
    """The trusted evaluation as circle.toml asks for it, started as a process of its own."""

    target: Target
    preset: Preset
    base_tree: Path
    data: Path
    sandbox: Sandbox
    processes: Processes
    environment: dict[str, str]

    def evaluate(self, tree: Path, output: Path, splits: tuple[Split, ...], *, checked: bool) -> dict[Split, float]:
        """Return the metric of a run on each split.

        Raises:
            ReportMissing: the run cannot be evaluated.
            ModelRefused: its model did not stand the checks.
        """
        if not splits:
            return {}
        if self.target.evaluation.model:
            return self._language_model(tree, output, splits, checked)
        return {split: self._command(output, split) for split in splits}

    def _language_model(self, tree: Path, output: Path, splits: tuple[Split, ...], checked: bool) -> dict[Split, float]:
        evaluation = self.target.evaluation
        command = [sys.executable, "-P", "-m", "agents.evaluation", "--tree", str(tree), "--run", str(output)]
        command += ["--model", evaluation.model, "--vocabulary", str(self._vocabulary())]
        command += ["--sequence_length", str(self.preset.sequence_length), "--sandbox", self.sandbox.name]
        command += ["--threads", str(self.target.train.threads), *(["--checks"] if checked else [])]
        for split in splits:
            command += ["--tokens", f"{split}={self.data / evaluation.tokens[split]}"]
        answer = self._answer(command, output, output.with_suffix(".evaluation.log"))
        failed = [name for name, passed in answer["checks"].items() if not passed]
        if failed:
            raise ModelRefused(f"the trusted evaluation refused the model: not {', not '.join(failed)}")
        return {split: float(answer["values"][split]) for split in splits}

    def _command(self, output: Path, split: Split) -> float:
        values = {"python": sys.executable, "output": str(output), "split": split, "data": str(self.data)}
        command = self.sandbox.wrap(
            [part.format_map(values) for part in self.target.evaluation.command],
            cwd=self.base_tree,
            readable=[self.base_tree, output, *([self.data] if self.data.exists() else [])],
            environment=self.environment,
        )
        value = float(self._answer(command, self.base_tree, output.with_suffix(f".{split}.log"))["value"])
        if not math.isfinite(value):
            raise ReportMissing(f"the trusted evaluation gives {value}")
        return value

    def _answer(self, command: list[str], cwd: Path, log: Path) -> Any:
        seconds = self.target.evaluation.timeout_minutes * 60
        ended = self.processes.watch(command, cwd=cwd, log=log, timeout_seconds=seconds, environment=self.environment)
        last = ended.tail[-1] if ended.tail else "it printed nothing"
        if ended.timed_out:
            raise ReportMissing(f"the trusted evaluation took longer than {seconds:.0f} s")
        if ended.returncode != 0:
            raise ReportMissing(f"the trusted evaluation failed: {last}")
        try:
            return json.loads(last)
        except ValueError as error:
            raise ReportMissing(f"the trusted evaluation gave no JSON: {last[:200]}") from error

    def _vocabulary(self) -> int:
        name, _, dotted = self.target.evaluation.vocabulary.partition(":")
        try:
            return int(field(json.loads((self.data / name).read_text(encoding="utf-8")), dotted))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LaboratoryError(f"The vocabulary's size is not in the data's {name}: {error}.") from error
