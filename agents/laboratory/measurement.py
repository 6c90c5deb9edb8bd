"""What a finished run left behind: its own report, and the trusted evaluation that counts."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.errors import LaboratoryError
from agents.laboratory.diagnosis import read_diagnosis
from agents.laboratory.process import Processes
from agents.laboratory.sandbox import Sandbox
from agents.laboratory.snapshot import Snapshot
from agents.ports import Order
from agents.records import Diagnosis, Split, digest
from agents.settings import Metric, Preset, Target

_MOST_BYTES = 16_000_000


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
    diagnosis: Diagnosis | None
    weights_sha256: str | None


def read_report(output: Path, metric: Metric) -> Report:
    """Read the run's metrics file and hash its weights; raise ReportMissing with a sentence if it can't be."""
    file = newest(output, metric.file)
    try:
        document = _document(file)
        value = float(part_of(document, metric.value))
        history = tuple(float(number) for number in part_of(document, metric.history)) if metric.history else ()
        configs = dict(part_of(document, metric.configs)) if metric.configs else {}
        _check_plain(history, configs)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ReportMissing(f"the metrics file {file.name} cannot be used: {error}") from error
    if not math.isfinite(value):
        raise ReportMissing(f"the metrics file {file.name} gives {metric.name} as {value}")
    kept = {key: item for key, item in configs.items() if key not in metric.volatile}
    weights = sha256_of(newest(output, metric.weights)) if metric.weights else None
    diagnosis = read_diagnosis(document, metric.diagnosis) if metric.diagnosis else None
    return Report(value=value, history=history, configs=kept, diagnosis=diagnosis, weights_sha256=weights)


def _document(file: Path) -> Any:
    """Read a metrics file; raise ValueError where two readers could take it for two different ones."""
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES // 10**6} MB")
    return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)


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


def refuse_links(output: Path) -> None:
    """Raise ModelRefused if a run left anything but files and folders: a link leads the reader out of its folder."""
    for folder, folders, files in os.walk(output):
        for name in [*folders, *files]:
            path = Path(folder) / name
            try:
                status = path.lstat()
            except OSError as error:
                raise ModelRefused(f"the run left what cannot be looked at: {error.strerror}") from error
            plain_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
            if not plain_file and not stat.S_ISDIR(status.st_mode):
                raise ModelRefused(f"the run left a link or a special file, {path.relative_to(output)}")


def refusal(tree: Snapshot, data: Snapshot | None, output: Path) -> str:
    """Say what a run did that no run may: change its code or its data, or leave a trap; empty if it did not."""
    if path := tree.changed():
        return f"the run's code was changed while it ran: {path}"
    if data and (path := data.changed()):
        return f"the data served to the run was changed while it ran: {path}"
    try:
        refuse_links(output)
    except ModelRefused as refused:
        return str(refused)
    return ""


def part_of(document: Any, dotted: str) -> Any:
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


def newest(output: Path, pattern: str) -> Path:
    """Return the file of a run whose name is the last of those that match; raise ReportMissing if there is none."""
    files = sorted(path for path in output.glob(pattern) if path.is_file() and not path.is_symlink())
    if not files:
        raise ReportMissing(f"no file {pattern} was written")
    return files[-1]


@dataclass(frozen=True)
class Measured:
    """What the trusted evaluation found: the metric of each split, and its counts where it is a language model's."""

    values: dict[Split, float] = field(default_factory=dict)
    tokens_scored: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Evaluator:
    """The trusted evaluation as circle.toml asks for it, started as a process of its own.

    `secret` is something that no run ever saw.
    """

    target: Target
    preset: Preset
    base_tree: Path
    data: Path
    secret: str
    sandbox: Sandbox
    processes: Processes
    environment: dict[str, str]

    def evaluate(self, order: Order, tree: Path, output: Path) -> Measured:
        """Return the metric of an order's run on each split that it asks for.

        Raises:
            ReportMissing: the run cannot be evaluated.
            ModelRefused: its model did not stand the checks.
        """
        if not order.splits:
            return Measured()
        if self.target.evaluation.model:
            return self._language_model(order, tree, output)
        return Measured({split: self._command(output, split) for split in order.splits})

    def _language_model(self, order: Order, tree: Path, output: Path) -> Measured:
        evaluation = self.target.evaluation
        weights = newest(output, self.target.metric.weights).relative_to(output)
        command = [sys.executable, "-P", "-m", "agents.evaluation", "--tree", str(tree), "--run", str(output)]
        command += ["--weights", str(weights), "--settings", evaluation.settings, "--model", evaluation.model]
        command += ["--vocabulary", str(self._vocabulary()), "--sequence_length", str(self.preset.sequence_length)]
        command += ["--budget_mb", str(evaluation.budget_mb), "--seed", str(self.chance_of(order.seed))]
        command += ["--threads", str(self.target.train.threads), "--sandbox", self.sandbox.name]
        for split in order.splits:
            command += ["--tokens", f"{split}={self.data / evaluation.tokens[split]}"]
        command += ["--checks"] if order.checked else []
        answer = self._answer(command, output, output.with_suffix(".evaluation.log"))
        failed = [name for name, passed in answer["checks"].items() if not passed]
        if failed:
            raise ModelRefused(f"the trusted evaluation refused the model: not {', not '.join(failed)}")
        values: dict[Split, float] = {split: float(answer["values"][split]) for split in order.splits}
        return Measured(values, sum(answer["tokens_scored"].values()), answer["parameters"])

    def chance_of(self, seed: int) -> int:
        """Return the seed of what the evaluation draws: both arms of a pair have the same, and no run can know it."""
        return int(digest([self.secret, seed])[:16], 16)

    def _command(self, output: Path, split: Split) -> float:
        values = {"python": sys.executable, "output": str(output), "split": split, "data": str(self.data)}
        command = self.sandbox.wrap(
            [part.format_map(values) for part in self.target.evaluation.command],
            cwd=self.base_tree,
            readable=[self.base_tree, output, *([self.data] if self.data.exists() else [])],
            environment=self.environment,
            limits=self.target.limits,
        )
        value = float(self._answer(command, self.base_tree, output.with_suffix(f".{split}.log"))["value"])
        if not math.isfinite(value):
            raise ReportMissing(f"the trusted evaluation gives {value}")
        return value

    def _answer(self, command: list[str], cwd: Path, log: Path) -> Any:
        seconds = self.target.evaluation.timeout_minutes * 60
        ended = self.processes.watch(
            command,
            cwd=cwd,
            log=log,
            timeout_seconds=seconds,
            environment=self.environment,
            limits=self.target.limits,
        )
        last = ended.tail[-1] if ended.tail else "it printed nothing"
        if ended.unwritten:
            raise LaboratoryError(f"The log {log} of the trusted evaluation could not be written: {ended.unwritten}.")
        if ended.exceeded:
            raise ReportMissing(f"the trusted evaluation was ended: {ended.exceeded}")
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
            return int(part_of(json.loads((self.data / name).read_text(encoding="utf-8")), dotted))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LaboratoryError(f"The vocabulary's size is not in the data's {name}: {error}.") from error
