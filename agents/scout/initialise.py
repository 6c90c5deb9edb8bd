"""What `circle init` does: it looks at a repo, tries it in short real runs, and writes its circle.toml or checks it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from agents.errors import TargetError, UsageError
from agents.journal import Journal
from agents.laboratory.local import LocalLaboratory
from agents.measuring import open_laboratory
from agents.ports import Reporter
from agents.records import Direction, Run
from agents.scout.draft import Lengths, Reports, draft, lengths_of
from agents.scout.found import Place
from agents.scout.survey import Survey, survey
from agents.scout.trial import compare, explore, weights_repeat
from agents.session import Home
from agents.settings import FILE, Target, load_target, parse_target

_NOWHERE = Place("metric", 0.0, {"pattern": "(?P<value>.^)"})


@dataclass(frozen=True)
class Found:
    """What was found out: the target, what its two short runs with different seeds gave, and whether it is new."""

    target: Target
    runs: tuple[Run, ...]
    written: bool


@dataclass(frozen=True)
class Told:
    """What a person says of a repo that could not be seen, or not rightly; empty where they say nothing."""

    script: str = ""
    metric: str = ""
    direction: Direction | None = None
    words: tuple[str, ...] = ()


def initialise(root: Path, told: Told, *, no_sandbox: bool, report: Reporter) -> Found:
    """Write the circle.toml of a repo, or check the one that it has; nothing is written where something is wrong.

    Raises:
        UsageError: something is told of a repo that has a circle.toml.
        TargetError: the repo cannot be a target as it is: what is wrong, and what to do.
        SandboxMissing: its code could not be run protected.
    """
    home = Home(root)
    base = home.workspace.head()
    home.prepare()
    with tempfile.TemporaryDirectory(prefix="init-", dir=home.folder) as scratch:
        attempt = _Attempt(home, base, Path(scratch), no_sandbox, report)
        if (root / FILE).exists():
            if told != Told():
                raise UsageError(
                    f"{root / FILE} is there, and is only checked: edit it, or remove it to have a new one."
                )
            target = load_target(root)
            length = target.scale(target.preset).short_tokens
            return Found(target, attempt.compared(target, length), written=False)
        text, target, runs = attempt.drafted(told)
    with (root / FILE).open("x", encoding="utf-8") as file:
        file.write(text)
    return Found(target, runs, written=True)


@dataclass
class _Attempt:
    """One `circle init`: where it works, and the laboratories that it opens there."""

    home: Home
    base: str
    scratch: Path
    no_sandbox: bool
    report: Reporter
    _opened: int = 0

    def drafted(self, told: Told) -> tuple[str, Target, tuple[Run, ...]]:
        """Return the text of a circle.toml that has been tried, as it is read, and its two runs."""
        workspace, root = self.home.workspace, self.home.target
        found = survey(root, workspace.files(self.base), self._text, told.script, told.words)
        _check_seed(found, root)
        lengths = lengths_of(found)
        blank = self._parsed(found, Reports(_NOWHERE), lengths)
        tried = explore(self._laboratory(blank), found, lengths, told.metric, self.scratch, self.report)
        reports = _directed(tried.reports, told.direction)
        target = self._parsed(found, reports, tried.lengths)
        runs = self.compared(target, tried.lengths.tried)
        if reports.weights and not weights_repeat(runs):
            reports = replace(reports, weights="")
        text = draft(self.home.target.name, found, reports, tried.lengths)
        return text, parse_target(text, FILE), runs

    def _text(self, name: str) -> str:
        return self.home.workspace.read(self.base, name) or ""

    def compared(self, target: Target, length: int) -> tuple[Run, ...]:
        """Do the two short runs, and repeat the first."""
        return tuple(compare(self._laboratory(target), self.base, length, target.metric.name))

    def _parsed(self, found: Survey, reports: Reports, lengths: Lengths) -> Target:
        return parse_target(draft(self.home.target.name, found, reports, lengths), f"the draft of {FILE}")

    def _laboratory(self, target: Target) -> LocalLaboratory:
        self._opened += 1
        folder = self.scratch / f"laboratory-{self._opened}"
        folder.mkdir()
        journal = Journal(folder / "journal.sqlite")
        return open_laboratory(
            self.home, target, self.base, target.preset, folder, journal, self.no_sandbox, 1, self.report
        )


def _directed(reports: Reports, direction: Direction | None) -> Reports:
    """A person's word on which way is better goes before what the metric's name says."""
    assert reports.metric is not None
    return replace(reports, metric=replace(reports.metric, says=direction)) if direction else reports


def _check_seed(found: Survey, root: Path) -> None:
    if found.seed is None:
        raise TargetError(
            f"No setting of {found.script} is named as a seed, of those that could be seen: a verdict compares runs of "
            "many seeds. Let it take one (--seed N, SEED in the environment, or seed in a file that its code "
            "names), and set every generator by it. What is not committed was not looked at."
        )
