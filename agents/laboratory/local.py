"""This machine as a laboratory: exported trees, sandboxed runs side by side, a trusted evaluation after each."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from agents.errors import Interrupted, LaboratoryError
from agents.journal import Journal
from agents.laboratory.data import Given, RunData, linked, places_of
from agents.laboratory.faults import machine_fault
from agents.laboratory.instructions import Instructions, Places, flag_text
from agents.laboratory.interpreter import Interpreter, interpreter
from agents.laboratory.machine import fingerprint
from agents.laboratory.measurement import Evaluator, Measured, ModelRefused, refusal
from agents.laboratory.process import Ended, Processes
from agents.laboratory.reports import NotFinite, Report, ReportMissing, read_report, sha256_of
from agents.laboratory.sandbox import Sandbox
from agents.laboratory.snapshot import Snapshot
from agents.laboratory.trees import Trees
from agents.laboratory.turn import turn_of
from agents.laboratory.watcher import Job, Watchers, forget
from agents.plain_text import excerpt, plain
from agents.ports import Order, Reporter, Switches, Workspace, silent
from agents.records import Run, RunStatus, digest
from agents.sealed import read_sealed, write_sealed
from agents.settings import Preset, Target

_RUNS = TypeAdapter(tuple[Run, ...])


@dataclass(frozen=True)
class Looked:
    """How a run ended that could write to its code: its output, what it printed, and the first file that it changed."""

    ended: Ended
    output: Path
    log: str
    changed: str


@dataclass(frozen=True)
class Attempt:
    """How a try ended, why its run is refused, if so, and the code that it ran."""

    ended: Ended
    refused: str
    tree: Path


@dataclass
class LocalLaboratory:
    """Trains on this machine.

    `home` is the target's `.circle` folder, `folder` the session's; `stop` says whether the session was asked to stop.
    Sessions with the same file as their `turn` train one after the other.
    """

    target: Target
    base: str
    preset: str
    home: Path
    folder: Path
    workspace: Workspace
    sandbox: Sandbox
    journal: Journal
    workers: int
    report: Reporter = silent
    turn: Path | None = None
    processes: Processes = field(default_factory=Processes)
    watchers: Watchers = field(default_factory=Watchers)

    def baseline_key(self, base: str, preset: str, train_tokens: int, flags: Switches = ()) -> str:
        """Return a hash of all that decides a baseline run but its seed: code, data, scale, machine, flags."""
        self._data.prepare()
        code = self.workspace.tree_sha256(base, self.target.paths.training)
        own = [part for part in (self._interpreter.version, flags) if part]
        return digest([code, self._data.sha256, preset, train_tokens, self._machine, *own])[:16]

    def recorded_baseline(self, key: str) -> tuple[Run, ...]:
        """Return the floor's runs on record under this key; a damaged record is as good as none."""
        try:
            return _RUNS.validate_python(read_sealed(self._record(key)))
        except (OSError, ValueError):
            return ()

    def record_baseline(self, key: str, runs: Sequence[Run]) -> None:
        """Put the floor's runs on record."""
        file = self._record(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(file, [run.model_dump(mode="json") for run in runs])

    def run(self, orders: Sequence[Order]) -> list[Run]:
        """Train the orders, `workers` side by side but those that are to be alone.

        Equal orders are one run, and an order on record is not repeated.

        Raises:
            Interrupted: the session was asked to stop; what has been trained is on record.
        """
        self._data.prepare()
        different = {order.key: order for order in orders}
        self._data.serve(order for key, order in different.items() if self.journal.find("run", key) is None)
        alone = any(order.alone for order in orders)
        threads = 1 if alone else self._at_once
        with turn_of(self.turn), ThreadPoolExecutor(threads) as pool, ExitStack() as interrupted:
            interrupted.callback(self._end_all)
            runs = dict(zip(different, pool.map(self._once, different.values()), strict=True))
            interrupted.pop_all()
        return [runs[order.key] for order in orders]

    def excerpt(self, run: Run) -> str:
        """Return the head and the tail of a run's log."""
        try:
            text = (self.home / run.folder).with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(the log is gone)"
        return excerpt(self._impersonal(text))

    def _impersonal(self, text: str) -> str:
        """Return a run's words without where things lie on this machine: its record may be carried elsewhere."""
        places = {str(self.home.parent): "<target>", sys.prefix: "<python>", sys.base_prefix: "<python>"}
        for place in sorted(places, key=len, reverse=True):
            text = text.replace(place, places[place])
        return text.replace(str(Path.home()), "~") if Path.home() != Path("/") else text

    def keep_checkpoint(self, order: Order) -> str:
        """Copy the weights of a run into the session's folder `checkpoint`; return the path below `.circle`, or "".

        Weights that are lost are trained again, for the same seed gives the same; if it gives others, none are kept.
        """
        kept = replace(order, keep_weights=True)
        (run,) = self.run([kept])  # it is on record, but in a fork, which has a record of its own
        wanted = run.weights_sha256
        if wanted is None:
            return ""
        if self._weights(order, wanted) is None:
            self._data.prepare()
            self._data.serve([order])
            self._train(kept, first_attempt=3)
            forget(self._output(order))
        weights = self._weights(order, wanted)
        if weights is None:
            self.report("weights lost", key=order.key)
            return ""
        place = self.folder / "checkpoint" / weights.name
        place.parent.mkdir(exist_ok=True)
        partial = place.with_name(f".{place.name}.partial")
        shutil.copyfile(weights, partial)
        partial.replace(place)
        return str(place.relative_to(self.home))

    def _weights(self, order: Order, sha256: str) -> Path | None:
        """The weights of a run, if they are still what was measured."""
        files = sorted(self._output(order).glob(self.target.metric.weights))
        return files[-1] if files and sha256_of(files[-1]) == sha256 else None

    def close(self) -> None:
        """Remove the trees and the served data, which the next run makes again."""
        self._trees.remove()
        self._data.remove_served()

    @property
    def _machine(self) -> dict[str, Any]:
        """What of the machine that trains decides a run's bits."""
        return fingerprint(self.target.train.threads)

    @property
    def _at_once(self) -> int:
        """How many runs are being trained or evaluated at once."""
        return self.workers

    def _end_all(self) -> None:
        """End what is being trained and evaluated; nothing is started afterwards."""
        self.processes.end_all()
        self.watchers.end_all()

    @property
    def _stop_file(self) -> Path:
        return self.folder / "stop"

    def _once(self, order: Order) -> Run:
        if self._stop_file.exists():
            raise Interrupted("The session was asked to stop.")
        body = self.journal.once("run", order.key, lambda: self._train(order).model_dump(mode="json"))
        run, output = Run.model_validate(body), self._output(order)
        if not order.keep_weights and run.status == "done":
            _drop_weights(output, self.target.metric.weights)
        forget(output)
        if run.status != "done":  # while its log is what it was
            self.journal.once("excerpt", run.key, lambda: self.excerpt(run))
        return run

    def _train(self, order: Order, first_attempt: int = 1) -> Run:
        """Train once, and once more with the same seed if the machine is known to have ended the first try."""
        self.report(
            "run started",
            key=order.key,
            arm=order.arm,
            stage=order.stage,
            seed=order.seed,
            train_tokens=order.train_tokens,
        )
        given, out_of_reach = self._data.of(order), self.sandbox.name == "bubblewrap"
        tried = self._attempt(order, given, first_attempt)
        fault = again = machine_fault(tried.ended, out_of_reach=out_of_reach)
        if fault:
            tried = self._attempt(order, given, first_attempt + 1)
            again = machine_fault(tried.ended, out_of_reach=out_of_reach)
            if again and not tried.ended.memory_kills:
                raise LaboratoryError(f"The {order.stage} run with seed {order.seed} was ended twice: {again}.")
        run = self._measured(order, given, tried)
        if self._instructions.in_a_file:
            self._trees.remove_own(tried.tree)
        error = again or run.error
        run = run.model_copy(update={"fault": fault, "error": error and self._impersonal(error)})
        self.report("run ended", key=order.key, run=run)
        return run

    def _attempt(self, order: Order, given: Given, attempt: int) -> Attempt:
        output, places = self._output(order), self._places(order, given)
        tree = self._tree(order, places)
        output.mkdir(parents=True, exist_ok=True)
        job = Job(
            command=tuple(self._confined(order, given, places, tree.folder)),
            cwd=tree.folder,
            output=output,
            attempt=attempt,
            timeout_seconds=self.target.train.timeout_minutes * 60,
            progress=self.target.train.progress,
            limits=self.target.limits,
        )
        seen = self.watchers.watch(
            job, lambda step, steps, loss: self.report("step", key=order.key, step=step, steps=steps, loss=loss)
        )
        return Attempt(seen.ended, refusal(Snapshot(seen.cwd, tree.files), given.snapshot, output), seen.cwd)

    def _confined(
        self, order: Order, given: Given, places: Places, tree: Path, writable: Sequence[Path] = ()
    ) -> list[str]:
        """The command of a run in the sandbox: it sees its code and its data, and writes its output."""
        return self.sandbox.wrap(
            self._instructions.command(order, places),
            cwd=tree,
            readable=[tree, *given.readable, *self._interpreter.folders],
            writable=[places.output, *writable],
            concealed=places_of(self.target.data.conceal),
            environment=self._environment | self._instructions.variables(order, places),
            limits=self.target.limits,
        )

    def look(self, order: Order, folder: Path, timeout_seconds: float) -> Looked:
        """Run an order on a copy of its code that it can write to, so that what it writes there is seen.

        `folder`, which is empty, gets the copy and the run's output and log.
        """
        self._data.prepare()
        self._data.serve([order])
        given, code, log = self._data.of(order), folder / "code", folder / "log.txt"
        places = replace(self._places(order, given), output=folder / "output")
        places.output.mkdir(parents=True)
        shutil.copytree(self._tree(order, places).folder, code, symlinks=True)
        before = Snapshot.of(code)
        ended = self.processes.watch(
            self._confined(order, given, places, code, writable=[code]),
            cwd=code,
            log=log,
            timeout_seconds=timeout_seconds,
            environment=os.environ,
            limits=self.target.limits,
            folder=places.output,
        )
        return Looked(ended, places.output, log.read_text(encoding="utf-8", errors="replace"), before.changed())

    def _output(self, order: Order) -> Path:
        return self.folder / "runs" / order.key

    def _places(self, order: Order, given: Given) -> Places:
        return Places(self._interpreter.program, given.folder, self._output(order))

    def _tree(self, order: Order, places: Places) -> Snapshot:
        """The code that a run sees: the commit's, or a copy of its own."""
        told = self._instructions
        if not told.in_a_file:
            return self._trees.of(order.commit)
        file = self.target.flags.file
        return self._trees.own(order.commit, order.key, file, lambda text: told.declarations(text, order, places))

    def _measured(self, order: Order, given: Given, tried: Attempt) -> Run:
        output, ended = self._output(order), tried.ended
        status, error = _status(ended)
        report, measured = None, Measured()
        if status == "done":
            try:
                if tried.refused:
                    raise ModelRefused(tried.refused)
                report = read_report(output, self.target.metric, output.with_suffix(".log"))
                measured = self._evaluated(order, tried.tree, output, report)
            except NotFinite as lost:
                status, error = "diverged", str(lost)
            except ReportMissing as missing:
                status, error = "crashed", str(missing)
            except ModelRefused as refused:
                status, error = "refused", str(refused)
        seen = [(step, loss) for step, loss in zip(ended.steps, ended.losses, strict=True) if math.isfinite(loss)]
        return Run(
            key=order.key,
            arm=order.arm,
            stage=order.stage,
            seed=order.seed,
            commit=order.commit,
            flags=tuple(f"{name}={flag_text(value)}" for name, value in order.flags),
            train_tokens=order.train_tokens,
            status=status,
            visible=measured.values.get("visible"),
            hidden=measured.values.get("hidden"),
            reported=report.value if report else None,
            tokens_scored=measured.tokens_scored,
            parameters=measured.parameters,
            steps=ended.steps[-1] if ended.steps else 0,
            losses=tuple(loss for _, loss in seen),
            loss_steps=tuple(step for step, _ in seen),
            history=report.history if report else (),
            seconds_per_step=ended.seconds_per_step,
            peak_memory_bytes=ended.peak_memory_bytes,
            train_seconds=round(ended.seconds, 3),
            cpu_seconds=ended.cpu_seconds,
            tokens_served=given.tokens,
            weights_sha256=report.weights_sha256 if report else None,
            configs=report.configs if report else {},
            diagnosis=report.diagnosis if report else None,
            error=error,
            command=tuple(map(self._impersonal, self._instructions.command(order, self._places(order, given)))),
            exit_code=ended.returncode,
            folder=str(output.relative_to(self.home)),
        )

    def _evaluated(self, order: Order, tree: Path, output: Path, report: Report) -> Measured:
        if self.target.evaluation.self_reported:
            return Measured(dict.fromkeys(order.splits, report.value))
        return self._evaluator.evaluate(order, tree, output)

    @property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            target=self.target,
            preset=self._scale,
            base_tree=self._trees.of(self.base).folder,
            data=self._data.prepared,
            secret=self._secret,
            interpreter=self._interpreter,
            sandbox=self.sandbox,
            processes=self.processes,
            environment=self._environment,
            folders=tuple(self._trees.links.values()),
        )

    @cached_property
    def _secret(self) -> str:
        """What no run and no author of a patch knows: drawn once for a target's folder on this machine."""
        file = self.home / "secret"
        with contextlib.suppress(FileExistsError), file.open("x", encoding="ascii") as made:
            made.write(secrets.token_hex(16))
        return file.read_text(encoding="ascii")

    @cached_property
    def _instructions(self) -> Instructions:
        return Instructions(self.target, self.preset)

    @cached_property
    def _interpreter(self) -> Interpreter:
        return interpreter(self.home.parent, self.target.train.python)

    @cached_property
    def _scale(self) -> Preset:
        return self.target.scale(self.preset)

    @cached_property
    def _trees(self) -> Trees:
        links = linked(self.home.parent, self.target.data.folders)
        return Trees(self.workspace, self.target, self.base, self.folder / "trees", links)

    @cached_property
    def _data(self) -> RunData:
        return RunData(
            target=self.target,
            preset=self.preset,
            code=self.workspace.tree_sha256(self.base, self.target.paths.training),
            home=self.home / "data",
            folder=self.folder / "served",
            trees=self._trees,
            interpreter=self._interpreter,
            sandbox=self.sandbox,
            processes=self.processes,
            environment=self._environment,
            report=self.report,
        )

    @cached_property
    def _environment(self) -> dict[str, str]:
        threads = str(self.target.train.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        kept = ("CUDA_VISIBLE_DEVICES", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        return dict.fromkeys(names, threads) | {name: os.environ[name] for name in kept if name in os.environ}

    def _record(self, key: str) -> Path:
        return self.home / "baselines" / f"{key}.json"


def _status(ended: Ended) -> tuple[RunStatus, str | None]:
    if ended.exceeded:
        return "crashed", ended.exceeded
    if ended.timed_out:
        return "timeout", f"the run took longer than {ended.seconds:.0f} s and was ended"
    if ended.diverged:
        return "diverged", f"the loss was {ended.losses[-1]} at step {ended.steps[-1]}"
    if ended.returncode != 0:
        return "crashed", plain(ended.tail[-1]) if ended.tail else f"exit code {ended.returncode} without a word"
    return "done", None


def _drop_weights(output: Path, pattern: str) -> None:
    for file in output.glob(pattern) if pattern else ():
        file.unlink()
