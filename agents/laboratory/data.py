"""The data of runs: prepared once by the base commit, and served to each run by itself.

A target that can serve hands a run its own training tokens and no others, drawn before it starts by the base commit's
code. How many a run can see is then the size of a file that the parent had made, not what the run says of itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from agents.errors import LaboratoryError
from agents.laboratory.interpreter import Interpreter
from agents.laboratory.process import Processes
from agents.laboratory.reports import part_of, sha256_of
from agents.laboratory.sandbox import Sandbox
from agents.laboratory.snapshot import Snapshot
from agents.laboratory.trees import Trees
from agents.plain_text import plain
from agents.ports import Order, Reporter
from agents.records import digest
from agents.settings import Target

_KEPT = 32  # served folders beside those that are needed now: the floor's, the timing's and one confirmation's


@dataclass(frozen=True)
class Given:
    """What a run is given: its {data}, what of it may be read, and how many training tokens were served, if so."""

    folder: Path
    readable: tuple[Path, ...]
    tokens: int | None = None
    snapshot: Snapshot | None = None


def places_of(packages: Sequence[str]) -> list[Path]:
    """Return where Python packages lie on this machine; of one that is not installed, nothing."""
    specs = [importlib.util.find_spec(name) for name in packages]
    return [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]


@dataclass
class RunData:
    """The data of one session's runs at one preset.

    `code` is the hash of the base's training code; what is prepared lies below `home` for all sessions, what is served
    below `folder`, for this one.
    """

    target: Target
    preset: str
    code: str
    home: Path
    folder: Path
    trees: Trees
    interpreter: Interpreter
    sandbox: Sandbox
    processes: Processes
    environment: Mapping[str, str]
    report: Reporter
    _served: dict[tuple[int, int], Given] = field(default_factory=dict)

    @cached_property
    def prepared(self) -> Path:
        """Where the data lies that the base commit prepares; one folder for a tree and a preset."""
        return self.home / digest([self.code, self.target.data.prepare, self.preset])[:16]

    @cached_property
    def sha256(self) -> str:
        """A hash over all prepared files, and over names, sizes and times of those in the target's own folders."""
        prepared = [[str(path.relative_to(self.prepared)), sha256_of(path)] for path in _files(self.prepared)]
        own = [
            [str(path), status.st_size, status.st_mtime_ns]
            for folder in self.trees.links.values()
            for path in _files(folder)
            if (status := path.stat())
        ]
        return digest([*prepared, *own])

    def prepare(self) -> None:
        """Have the base commit prepare the data, once; raise LaboratoryError with its last words if it cannot."""
        if not self.target.data.prepare or self.prepared.is_dir():
            return
        self.report("preparing data")
        self.home.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.home) as scratch:
            place = Path(scratch) / "data"
            self._command(self.target.data.prepare, {"data": str(place)}, (), Path(scratch), "prepared")
            place.rename(self.prepared)

    def serve(self, orders: Iterable[Order]) -> None:
        """Have what these orders' runs take drawn from the data, all that one process can do in one.

        Raises:
            LaboratoryError: with the last words of the command that could not.
        """
        if not self.target.data.serve:
            return
        wanted = dict.fromkeys((order.train_tokens, order.seed) for order in orders)
        missing = [key for key in wanted if not self._intact(key)]
        for tokens in dict.fromkeys(tokens for tokens, _ in missing):
            self._draw(tokens, [seed for number, seed in missing if number == tokens])
        spare = [key for key in self._served if key not in wanted]
        for key in spare[: max(0, len(spare) - _KEPT)]:
            shutil.rmtree(self._served.pop(key).folder)

    def of(self, order: Order) -> Given:
        """Return what the order's run is given; where the target serves, `serve` came first."""
        if self.target.data.serve:
            return self._served[order.train_tokens, order.seed]
        folder = self.prepared / self.target.data.open
        return Given(self.prepared, (*self.trees.links.values(), *([folder] if folder.is_dir() else [])))

    def remove_served(self) -> None:
        """Remove what was served: it can be drawn again."""
        self._served.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _intact(self, key: tuple[int, int]) -> bool:
        given = self._served.get(key)
        return given is not None and given.snapshot is not None and not given.snapshot.changed()

    def _draw(self, tokens: int, seeds: Sequence[int]) -> None:
        self.folder.mkdir(exist_ok=True)
        readable = [self.prepared / self.target.data.open]
        with tempfile.TemporaryDirectory(prefix=".", dir=self.folder) as scratch:
            place = Path(scratch) / "served"
            values = {"data": str(self.prepared), "output": str(place), "train_tokens": str(tokens)}
            values["seeds"] = ",".join(map(str, seeds))
            self._command(self.target.data.serve, values, readable, Path(scratch), "served")
            for seed in seeds:
                folder = self.folder / digest([self.sha256, seed, tokens])[:16]
                drawn = Snapshot(folder, Snapshot.of(place / str(seed)).files)
                if drawn.changed():  # else a run that a killed session left may be reading it
                    shutil.rmtree(folder, ignore_errors=True)
                    (place / str(seed)).rename(folder)
                self._served[tokens, seed] = Given(folder, (folder,), self._count(folder), drawn)

    def _count(self, folder: Path) -> int:
        name, _, dotted = self.target.data.served.partition(":")
        try:
            return int(part_of(json.loads((folder / name).read_text(encoding="utf-8")), dotted))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LaboratoryError(f"The number of tokens served is not in the served {name}: {error}.") from error

    def _command(
        self, words: Sequence[str], values: Mapping[str, str], readable: Sequence[Path], scratch: Path, done: str
    ) -> None:
        """Run a command of the base commit, which may write the folder `scratch`."""
        tree = self.trees.of(self.trees.base).folder
        filled = {"python": self.interpreter.program, "preset": self.preset, **values}
        ended = self.processes.watch(
            self.sandbox.wrap(
                [word.format_map(filled) for word in words],
                cwd=tree,
                readable=[tree, *readable, *self.interpreter.folders, *self.trees.links.values()],
                writable=[scratch],
                environment=self.environment,
                limits=self.target.limits,
            ),
            cwd=tree,
            log=scratch / "log.txt",
            timeout_seconds=self.target.train.timeout_minutes * 60,
            environment=os.environ,
            limits=self.target.limits,
            folder=scratch,
        )
        if ended.returncode != 0:
            why = ended.exceeded or (plain(ended.tail[-1]) if ended.tail else f"exit code {ended.returncode}")
            raise LaboratoryError(f"The data could not be {done}: {why}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def linked(root: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the target's own folders of data by their paths in it; raise LaboratoryError if one is not there."""
    links = {name: root / name for name in names}
    if missing := next((name for name, place in links.items() if not place.is_dir()), None):
        raise LaboratoryError(f"circle.toml names {missing} in data.folders, but there is no such folder in {root}.")
    return links
