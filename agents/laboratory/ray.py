"""A Ray cluster as a laboratory: runs are trained on its nodes, and measured here.

All but the try of a run is the local laboratory's. A try is one Ray task on one node: the code and the data go there as
parcels, what was seen and what was left comes back as one, and the hidden split stays. Ray repeats nothing by itself.
What a lost node or worker had in hand is tried again on a like node: nothing of it had been put on record.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
    TaskCancelledError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from agents.errors import Interrupted, LaboratoryError
from agents.laboratory import errand
from agents.laboratory.cluster import Cluster, Kind, Needs, Node, on_node
from agents.laboratory.data import Given
from agents.laboratory.errand import Brought, Errand
from agents.laboratory.instructions import Places
from agents.laboratory.local import Attempt, LocalLaboratory
from agents.laboratory.measurement import Measured
from agents.laboratory.parcel import Parcel
from agents.laboratory.reports import Report
from agents.laboratory.scratch import PREFIX
from agents.laboratory.slots import Slots
from agents.laboratory.snapshot import Snapshot
from agents.ports import Order

_TRIES = 4
_LISTEN_SECONDS = 2.0
_NODE_LOST = (NodeDiedError, TaskUnschedulableError, LocalRayletDiedError)
_WORKER_LOST = (WorkerCrashedError, OutOfMemoryError, ObjectLostError, TaskCancelledError)


class Lost(Exception):
    """The node, or the process on it, that was at work on a run is gone."""


@dataclass(kw_only=True)
class RayLaboratory(LocalLaboratory):
    """Trains on the nodes of a Ray cluster that are alike.

    Raises:
        LaboratoryError: no node can train, or none that is like those on the session's record.
    """

    cluster: Cluster
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _packing: threading.Lock = field(default_factory=threading.Lock)
    _going: set[Any] = field(default_factory=set)
    _ended: bool = False
    _parcels: dict[Path, ray.ObjectRef[Parcel]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        survey = self.cluster.survey(self._needs)
        recorded = self.journal.find("nodes", "")
        self._kind: Kind = survey.chosen(recorded["kind"] if recorded else "")
        self.journal.once("nodes", "", lambda: {"kind": self._kind.name, "machine": self._machine})
        if left_out := survey.others(self._kind):
            self.report("cluster", text=left_out)

    def close(self) -> None:
        """Remove what the next run makes again, here and in the cluster."""
        super().close()
        self._parcels.clear()

    @property
    def _machine(self) -> dict[str, Any]:
        return self._kind.nodes[0].look.fingerprint

    @property
    def _at_once(self) -> int:
        """As many as are trained, and those that are evaluated meanwhile."""
        return self.workers + self._evaluations

    @property
    def _evaluations(self) -> int:
        return max(1, (os.cpu_count() or 1) // self.target.train.threads)

    @property
    def _needs(self) -> Needs:
        return Needs.of(self.target, unprotected=self.sandbox.name == "none")

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.id: node for node in self._kind.nodes}

    @cached_property
    def _slots(self) -> Slots:
        room = {node.id: node.places(self._needs) for node in self._kind.nodes}
        return Slots(room, self.workers, self.cluster.living)

    @cached_property
    def _evaluating(self) -> threading.Semaphore:
        return threading.Semaphore(self._evaluations)

    def _evaluated(self, order: Order, tree: Path, output: Path, report: Report) -> Measured:
        with self._evaluating:
            return super()._evaluated(order, tree, output, report)

    def _end_all(self) -> None:
        super()._end_all()
        with self._lock:
            self._ended = True
            for task in self._going:
                ray.cancel(task, force=True)

    def _impersonal(self, text: str) -> str:
        return super()._impersonal(re.sub(rf"[^\s'\"]*/{PREFIX}[0-9a-f]+", "<node>", text))

    def _attempt(self, order: Order, given: Given, attempt: int) -> Attempt:
        tried = list[str]()
        for _ in range(_TRIES):
            with self._slots.one(whole=order.alone, rather_not=frozenset(tried)) as name:
                try:
                    brought, tree = self._sent(order, given, self._nodes[name])
                except Lost as lost:
                    tried.append(name)
                    self.report("cluster", text=f"{self._nodes[name].host} lost a run ({lost}): it is trained again")
                    continue
            self._receive(order, brought.left)
            return Attempt(brought.ended, brought.refused, tree.folder)
        hosts = ", ".join(self._nodes[name].host for name in tried)
        raise LaboratoryError(f"The {order.stage} run with seed {order.seed} was lost {_TRIES} times, on {hosts}.")

    def _sent(self, order: Order, given: Given, node: Node) -> tuple[Brought, Snapshot]:
        """Have a node make a try; return what it brings, and the code that it ran.

        Raises:
            Lost: the node or its process is gone.
            Interrupted: the session was asked to stop.
        """
        cpus = node.cpus if order.alone else self._needs.threads
        try_ = ray.remote(num_cpus=cpus, num_gpus=self._needs.gpus, max_retries=0, num_returns="streaming")(errand.run)
        place = node.look.scratch / f"{PREFIX}{secrets.token_hex(8)}"
        python = self._interpreter.program if self.target.train.python else node.look.python
        there = Places(python, errand.data_at(place), errand.output_at(place, order.key))
        tree = self._tree(order, there)
        parcels = [self._parcel(folder) for folder in (tree.folder, *self._sendable(given))]
        task = on_node(try_, node.id).remote(self._errand(order, given, place, there), *parcels)
        self._note(task)
        try:
            return self._heard(order, task), tree
        except _NODE_LOST as error:
            self._slots.lose(node.id)
            raise self._loss(type(error).__name__) from error
        except _WORKER_LOST as error:
            raise self._loss(type(error).__name__) from error
        except RayTaskError as error:
            raise LaboratoryError(f"The node {node.host} could not make a run: {error.cause}") from error
        finally:
            with self._lock:
                self._going.discard(task)

    def _heard(self, order: Order, task: Any) -> Brought:
        while self._speaks(task) and (answer := next(task, None)) is not None:
            said = ray.get(answer)
            if isinstance(said, Brought):
                return said
            step, steps, loss = said
            self.report("step", key=order.key, step=step, steps=steps, loss=loss)
        raise self._loss("what it said did not arrive")

    def _speaks(self, task: Any) -> bool:
        """Wait for a task's next answer; False if it has ended and none has come."""
        ended = False
        while not ray.wait([task], timeout=_LISTEN_SECONDS, fetch_local=False)[0]:
            if ended:
                return False
            ended = bool(ray.wait([task.completed()], timeout=0, fetch_local=False)[0])
        return True

    def _loss(self, why: str) -> Exception:
        return Interrupted() if self._ended else Lost(why)

    def _note(self, task: Any) -> None:
        with self._lock:
            self._going.add(task)
            if self._ended:
                ray.cancel(task, force=True)

    def _errand(self, order: Order, given: Given, place: Path, there: Places) -> Errand:
        environment = {name: value for name, value in self._environment.items() if name != "CUDA_VISIBLE_DEVICES"}
        train = self.target.train
        return Errand(
            key=order.key,
            place=place,
            command=tuple(self._instructions.command(order, there)),
            environment=environment | self._instructions.variables(order, there),
            open=next((str(folder.relative_to(given.folder)) for folder in self._sendable(given)), ""),
            own=(*self._trees.links.values(), *self._interpreter.folders),
            conceal=self.target.data.conceal,
            unprotected=self._needs.unprotected,
            timeout_seconds=train.timeout_minutes * 60,
            progress=train.progress,
            limits=self.target.limits,
        )

    def _sendable(self, given: Given) -> list[Path]:
        """What of a run's data goes with it; what the target names itself is where the node is."""
        return [folder for folder in given.readable if folder not in self._trees.links.values()]

    def _parcel(self, folder: Path) -> ray.ObjectRef[Parcel]:
        """A folder in the cluster's store: put there once, and kept as long as the folder is."""
        with self._packing:
            self._parcels = {place: sent for place, sent in self._parcels.items() if place.exists()}
            if folder not in self._parcels:
                self._parcels[folder] = ray.put(Parcel.of(Snapshot.of(folder)))
            return self._parcels[folder]

    def _receive(self, order: Order, left: Parcel) -> None:
        """Put what a run left, once it has been checked, where the runs of this machine lie."""
        output = self._output(order)
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=output.parent) as folder:
            arrived = left.unpack(Path(folder) / "left").folder
            shutil.rmtree(output, ignore_errors=True)
            for place in arrived.iterdir():
                place.replace(output.parent / place.name)
