"""The trusted evaluation of what a finished run left behind: the number that counts."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.errors import LaboratoryError
from agents.laboratory.interpreter import Interpreter
from agents.laboratory.process import Processes
from agents.laboratory.reports import ReportMissing, newest, part_of
from agents.laboratory.sandbox import Sandbox
from agents.laboratory.snapshot import Snapshot
from agents.ports import Order
from agents.records import Split, digest
from agents.settings import Preset, Target


class ModelRefused(Exception):
    """A run is not measured: its model looks ahead, keeps state or gives no distribution, or it left a trap."""


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
    interpreter: Interpreter = field(default_factory=Interpreter)
    folders: tuple[Path, ...] = ()

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
        program = self.interpreter.program
        values = {"python": program, "output": str(output), "split": split, "data": str(self.data)}
        data = [self.data] if self.data.exists() else []
        command = self.sandbox.wrap(
            [part.format_map(values) for part in self.target.evaluation.command],
            cwd=self.base_tree,
            readable=[self.base_tree, output, *self.interpreter.folders, *self.folders, *data],
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
