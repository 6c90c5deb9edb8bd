"""What Circle makes of a patch: every layer is asked by itself, as if the layers before it were not there.

A case goes through the product's own parts: the mechanical review, runs in the sandbox on served data, the comparison
of the regression, the trusted evaluation with its checks, the doubts about a pair. Only the seeds are few: a gain is
one that stands out of the noise of independent arms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Self

from agents.journal import Journal
from agents.laboratory.local import LocalLaboratory
from agents.laboratory.sandbox import Unprotected
from agents.measuring import measuring
from agents.nodes.regression import compare
from agents.nodes.timing import without_start
from agents.plausibility import copied, implausible
from agents.ports import Order, silent
from agents.records import Arm, FlagValue, Patch, Run, Split, Stage, Version
from agents.review import mechanical_issues
from agents.session import Home
from agents.statistics import seed
from tests.attacks.cases import Case
from tests.commands import scratch_repository

LAYERS = ("review", "regression", "run", "evaluation", "hidden split", "equal time")
PRESET = "smoke"
SECRET = b"the seeds of the gates"
STANDARD_ERRORS = 3


@dataclass(frozen=True)
class Passage:
    """What became of a patch. Layers -> their words: those that refused it, and those that saw no gain.

    `naive` is the mean gain that a naive loop would see, and `lowers` whether it stands out of the noise.
    """

    case: Case
    naive: float
    lowers: bool
    refused: dict[str, str]
    gainless: dict[str, str]

    @property
    def caught(self) -> tuple[str, ...]:
        """The layers that stop it, in the order in which a session asks them."""
        return tuple(layer for layer in LAYERS if layer in self.refused or layer in self.gainless)


class Gates:
    """A scratch repository that holds this training code, and the laboratory that measures patches of it there."""

    def __init__(self, root: Path, floor: int = 8, workers: int = 2) -> None:
        self.root, self.floor = scratch_repository(root), floor
        self._open = ExitStack()
        bench = self._open.enter_context(measuring(Home(self.root), silent, preset=PRESET))
        self.target, self.base, self.tokens = bench.target, bench.base, bench.train_tokens
        self.laboratory = replace(bench.laboratory, workers=workers)
        self.naive = naive_loop(self.laboratory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @cached_property
    def sigma(self) -> float:
        """The standard deviation of a run of the baseline, by its own report."""
        orders = [
            self.order("baseline", self.base, number, stage="floor") for number in self.seeds("floor", self.floor)
        ]
        return stdev(run.reported for run in self.laboratory.run(orders) if run.reported is not None)

    def seeds(self, bank: str, number: int) -> list[int]:
        """Return seeds that no patch could have known."""
        return [seed(SECRET, bank, index) for index in range(number)]

    def order(
        self,
        arm: Arm,
        commit: str,
        number: int,
        flags: tuple[tuple[str, FlagValue], ...] = (),
        splits: tuple[Split, ...] = (),
        stage: Stage = "screen",
    ) -> Order:
        """Return the order of one run. Weights stay where they are, for the next run to find if it can."""
        return Order(arm, stage, number, commit, self.tokens, flags, splits, keep_weights=True)

    def stands_out(self, gains: Sequence[float]) -> bool:
        """Whether a mean gain is more than the noise of so many independent pairs; no pair shows none."""
        return bool(gains) and fmean(gains) > STANDARD_ERRORS * self.sigma * math.sqrt(2 / len(gains))

    def commit(self, case: Case) -> Patch:
        """Commit a case's diff on the base; raise DiffRefused if it does not apply."""
        workspace = self.laboratory.workspace
        return workspace.commit_version(f"cases/{case.name}", self.base, case.diff, case.name)

    def review(self, case: Case) -> list[str]:
        """Return what fails the mechanical review."""
        workspace, commit = self.laboratory.workspace, self.commit(case).commit
        issues = mechanical_issues(
            base=workspace.export(self.base),
            version=workspace.export(commit),
            diff=workspace.diff(self.base, commit),
            plan=case.plan,
            target=self.target,
        )
        return [f"{issue.file}: {issue.issue}" for issue in issues if issue.severity == "CRITICAL"]

    def passage(self, case: Case) -> Passage:
        """Put a case through every layer; a cheat that has survived the hidden split is held against the clock."""
        return _Visit(self, case, self.commit(case)).passage()


class _Visit:
    """One case on its way: the runs of both arms, and what each layer makes of them."""

    def __init__(self, gates: Gates, case: Case, patch: Patch) -> None:
        self.gates, self.case, self.patch = gates, case, patch
        self.refused: dict[str, str] = {}
        self.gainless: dict[str, str] = {}
        self.seeds = gates.seeds("pairs", case.pairs)
        splits: tuple[Split, ...] = ("visible", "hidden") if case.breaks else ("visible",)
        off = replace(self._off(self.seeds[0]), splits=splits)
        old = [gates.order("baseline", gates.base, number, splits=splits) for number in self.seeds]
        new = [replace(self._on(number), splits=splits) for number in self.seeds]
        new[0] = replace(new[0], checked=True)
        self.off, *runs = gates.laboratory.run([off, *old, *new])
        self.old, self.new = runs[: len(old)], runs[len(old) :]

    def _off(self, number: int) -> Order:
        return self.gates.order("baseline", self.patch.commit, number, stage="regression")

    def _on(self, number: int) -> Order:
        return self.gates.order("experiment", self.patch.commit, number, self.case.values)

    def passage(self) -> Passage:
        if critical := self.gates.review(self.case):
            self.refused["review"] = critical[0]
        self._regression()
        self._failures()
        self._doubts()
        naive = self._naive() if self.case.breaks else []
        if lowers := self.gates.stands_out(naive):
            self._gains()
        return Passage(self.case, fmean(naive or [0.0]), lowers, self.refused, self.gainless)

    def _regression(self) -> None:
        version = Version(n=1, parent=None, plan=self.case.plan, patch=self.patch)
        result = compare(self.old[0], self.off, self.old[0], self.new[0], version)
        if result.failure in ("regression", "dead flag"):
            self.refused["regression"] = result.reason

    def _failures(self) -> None:
        for run in (run for run in self.new if run.status != "done"):
            measured = run.status == "refused" or (run.error or "").startswith("the trusted evaluation")
            self.refused.setdefault("evaluation" if measured else "run", str(run.error))

    def _doubts(self) -> None:
        for old, new in zip(self.old, self.new, strict=True):
            doubt = copied(new, [*self.old, *self.new])
            if doubt is None and old.visible is not None and new.visible is not None:
                doubt = implausible(old.visible, new.visible, self.gates.sigma)
            if doubt:
                self.refused.setdefault("evaluation", doubt)

    def _naive(self) -> list[float]:
        """The gains that a naive loop sees: what the patch's own two arms report, on the seed that its author knew."""
        known = self.case.tuned_on
        seeds = self.seeds if known is None else [known]
        old, new = (self.gates.naive.run([order(number) for number in seeds]) for order in (self._off, self._on))
        return _gains(old, new, "reported")

    def _gains(self) -> None:
        """Which gains do not stand out: what runs in the sandbox report, then the trusted ones, then the price."""
        reported = _gains([self.off, *self.old[1:]], self.new, "reported") if self.case.tuned_on is None else []
        hidden = _gains(self.old, self.new, "hidden")
        found = {"run": reported, "evaluation": _gains(self.old, self.new, "visible"), "hidden split": hidden}
        for layer, gains in found.items():
            if gains and not self.gates.stands_out(gains):
                self.gainless[layer] = f"Here the gain is {_signed(gains)}."
        if hidden and not self.gainless:
            self._equal_time()

    def _equal_time(self) -> None:
        """Time both arms alone, B E E B, each at its fastest; then train the baseline as long."""
        gates, first = self.gates, self.seeds[0]
        old, new = gates.order("baseline", gates.base, first, stage="timing"), replace(self._on(first), stage="timing")
        again = gates.seeds("pairs again", 1)[0]
        four = [old, new, replace(new, seed=again), replace(old, seed=again)]
        runs = gates.laboratory.run([replace(order, alone=True) for order in four])
        new_runs, old_runs = runs[1:3], [runs[0], runs[3]]
        stepwise = min(_times(new_runs)) / min(_times(old_runs))
        whole = [min(seconds) for seconds in without_start(old_runs, new_runs)]
        ratio = max(stepwise, whole[0] / whole[1])
        longer = math.ceil(max(1.0, ratio) * gates.tokens)
        baseline = (gates.order("baseline", gates.base, n, splits=("visible",), stage="stretched") for n in self.seeds)
        orders = [replace(order, train_tokens=longer) for order in baseline]
        gains = _gains(gates.laboratory.run(orders), self.new, "visible")
        if not gates.stands_out(gains):
            words = f"It takes {ratio:.2f} times as long; at equal time the gain is {_signed(gains)}."
            self.gainless["equal time"] = words


def naive_loop(laboratory: LocalLaboratory) -> LocalLaboratory:
    """Return a laboratory for the same code that trusts it: without a sandbox, with all data in reach of every run."""
    folder = laboratory.folder / "naive"
    folder.mkdir()
    data = laboratory.target.data.model_copy(update={"serve": ()})
    return replace(
        laboratory,
        target=laboratory.target.model_copy(update={"data": data}),
        folder=folder,
        sandbox=Unprotected(),
        journal=Journal(folder / "journal.sqlite"),
    )


def _gains(old: Sequence[Run], new: Sequence[Run], metric: str) -> list[float]:
    pairs = [(getattr(one, metric), getattr(other, metric)) for one, other in zip(old, new, strict=True)]
    return [before - after for before, after in pairs if before is not None and after is not None]


def _times(runs: Sequence[Run]) -> list[float]:
    return [run.seconds_per_step or run.train_seconds for run in runs]


def _signed(gains: Sequence[float]) -> str:
    return f"{fmean(gains):+.4f}" if gains else "nothing"
