"""What a Ray cluster's workers are worth on this machine, and what of it is full first.

    python -m benchmarks.scale [--targets plain,smoke] [--workers 1,2,4]

For each target a session judges one change of a flag: once on this machine alone, then on a cluster of one node with as
many CPUs as the most workers, with each number of workers. The secret is the same, so the runs are the same.
Printed are sessions and runs an hour, the ratio of the runs to those of the first line, and what a run costs the
coordinator in CPU seconds: its own process, and the trusted evaluation that it starts. From these and a run's length
follows how many workers one coordinator of this machine can keep busy; beyond them it is what breaks first. More
workers than CPUs share these, so their lines say what the coordinator bears, not what a larger machine would give.
The sessions have no sandbox: what runs in one does not hand its CPU time up to who started it. This machine's own
laboratory starts the runs, too, so that its line has no figure for the evaluation.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from agents.brought import plan_of
from agents.drive import drive
from agents.records import Run
from agents.researchers.nobody import Nobody
from agents.session import Home, Options, start
from tests.commands import TARGETS, git

ROOT = Path(__file__).resolve().parent.parent
_FLAGS = {"plain": "--intercept true", "smoke": "--rope_base 200"}
_STORE_BYTES = 200_000_000


@dataclass
class Ended:
    """A Reporter that keeps the runs that ended."""

    runs: list[Run] = field(default_factory=list)

    def __call__(self, event: str, **details: Any) -> None:
        """Take a run that ended."""
        if event == "run ended":
            self.runs.append(details["run"])


@dataclass(frozen=True)
class Measured:
    """One session: seconds by the clock, and CPU seconds of the coordinator's process and of what it started."""

    target: str
    lab: str
    workers: int
    runs: int
    wall: float
    own: float
    started: float
    mean_run: float

    @property
    def runs_an_hour(self) -> float:
        """Runs in an hour of such sessions."""
        return 3600 * self.runs / self.wall

    @property
    def full_at(self) -> float:
        """How many workers keep all CPUs of this machine busy with what a run costs its coordinator."""
        return (os.cpu_count() or 1) * self.mean_run * self.runs / (self.own + self.started)


def main() -> None:
    """Print a line for each session, and what follows from them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", default="plain,smoke")
    parser.add_argument("--workers", default="1,2,4")
    told = parser.parse_args()
    numbers = [int(number) for number in told.workers.split(",")]
    print(
        "| target | laboratory | workers | runs | sessions/h | runs/h | ratio | own CPU s/run | evaluation CPU s/run |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for target in told.targets.split(","):
        with tempfile.TemporaryDirectory() as folder, cluster(max(numbers)) as lab:
            places = [("local", numbers[0]), *((lab, number) for number in numbers)]
            found = [measured(Path(folder), target, place, number) for place, number in places]
        for one in found:
            print(_row(one, found[0]), flush=True)
        print(_finding(found))


@contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """Give the laboratory's name of a cluster of one node, as long as it is up."""
    arguments = {"num_cpus": cpus, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        yield f"ray:{nodes.address}"
    finally:
        ray.shutdown()
        nodes.shutdown()


def measured(folder: Path, target: str, lab: str, workers: int) -> Measured:
    """Run a session on a fresh clone of the target."""
    home = Home(_clone(folder / f"{target}-{lab.partition(':')[0]}-{workers}", target))
    options = Options(
        preset=None if target == "plain" else target,
        secret="5eed",
        fresh_baseline=True,
        memory=False,
        workers=workers,
        lab=lab,
        no_sandbox=True,
    )
    plan, ended = plan_of(home, "", _FLAGS[target], target), Ended()
    opened = start(home, target, Nobody(), options, ("", plan), author="benchmark")
    began, own, started = time.monotonic(), _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN)
    drive(opened, ended)
    return Measured(
        target=target,
        lab=lab.partition(":")[0],
        workers=workers,
        runs=len(ended.runs),
        wall=time.monotonic() - began,
        own=_cpu(resource.RUSAGE_SELF) - own,
        started=_cpu(resource.RUSAGE_CHILDREN) - started,
        mean_run=sum(run.train_seconds for run in ended.runs) / len(ended.runs),
    )


def _clone(folder: Path, target: str) -> Path:
    if target != "plain":
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        return folder
    subprocess.run(["cp", "-r", str(TARGETS / "plain"), str(folder)], check=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "The training code")
    return folder


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _row(one: Measured, first: Measured) -> str:
    evaluation = f"{one.started / one.runs:.3f}" if one.lab != "local" else ""
    return (
        f"| {one.target} | {one.lab} | {one.workers} | {one.runs} | {3600 / one.wall:.1f} | {one.runs_an_hour:.0f} "
        f"| {one.runs_an_hour / first.runs_an_hour:.2f} | {one.own / one.runs:.3f} | {evaluation} |"
    )


def _finding(found: list[Measured]) -> str:
    most = max(found[1:], key=lambda one: one.workers)
    part = "the trusted evaluation" if most.started > most.own else "the coordinator's own process"
    return (
        f"{most.target}: a run lasts {most.mean_run:.2f} s and costs the coordinator {most.own / most.runs:.3f} s of "
        f"its own and {most.started / most.runs:.3f} s of evaluation. Its {os.cpu_count()} CPUs are full at about "
        f"{most.full_at:.1f} workers; what breaks first is {part}."
    )


if __name__ == "__main__":
    main()
