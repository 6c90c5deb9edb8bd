"""What the nodes need of the world: four Protocols, and the context that hands them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agents.records import (
    Arm,
    Flag,
    FlagValue,
    Idea,
    Issue,
    Patch,
    Plan,
    Record,
    Run,
    Session,
    Split,
    Stage,
    Tried,
    Usage,
    digest,
)
from agents.settings import Target

Reply = TypeVar("Reply", bound=Record)


class Desk(Protocol):
    """Where a version's code is written: the base commit's files, of which only editable ones can be changed."""

    def files(self) -> tuple[str, ...]:
        """Return the paths of all files."""
        ...

    def editable(self, path: str) -> bool:
        """Whether a file of that name may be written."""
        ...

    def read(self, path: str) -> str:
        """Return a file's text; raise EditRefused if there is none."""
        ...

    def write(self, path: str, text: str) -> None:
        """Write a whole file; raise EditRefused if the path may not be edited."""
        ...

    def diff(self) -> str:
        """Return what was changed, as a unified diff against the base commit."""
        ...

    def check(self) -> str:
        """Say what the mechanical review finds, and how a run of a few steps in the sandbox ends."""
        ...


@dataclass(frozen=True)
class Question:
    """What a skill is asked: the template's name, what it renders, and the rendered text.

    Where code may be looked at or written, `desk` opens one; a reply then need not hold the diff.
    """

    skill: str
    template: str
    context: dict[str, Any]
    text: str
    desk: Callable[[], Desk] | None = None


Text = str | Callable[[], str]
Switches = tuple[tuple[str, FlagValue], ...]


def switched(*flags: Sequence[Flag]) -> Switches:
    """Return flags as the (name, value) pairs of an order; a later one replaces an earlier one of its name."""
    return tuple({flag.name: flag.value for some in flags for flag in some}.items())


@dataclass(frozen=True)
class Order:
    """One training run to be done. `flags` are (name, value) pairs, `splits` what is evaluated.

    A run that is `alone` shares the machine with no other, so that its time counts. A model that is `checked` is asked
    more than its loss: whether it looks ahead, keeps state or sees its neighbours. `keep_weights` leaves its weights.
    A run whose time counts is trained anew `beside` each commit that it is held against: the machine changes its speed.
    """

    arm: Arm
    stage: Stage
    seed: int
    commit: str
    train_tokens: int
    flags: Switches = ()
    splits: tuple[Split, ...] = ()
    alone: bool = False
    checked: bool = False
    keep_weights: bool = False
    beside: str = ""

    @property
    def key(self) -> str:
        """The name of the run that this order asks for: equal orders are one run."""
        run = [self.arm, self.stage, self.seed, self.commit, self.train_tokens, self.flags, self.splits, self.beside]
        return digest(run)[:16]


class Researcher(Protocol):
    """Answers a skill's questions: a catalogue, a script, a recording, a model."""

    name: str

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Turn a person's words (or none) into an idea; raise UsageError if it cannot."""
        ...

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return what it would try by itself, in its order, but for what has failed before."""
        ...

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Answer a question with a record of the type `reply`; raise ReplyRefused if that fails."""
        ...


class Workspace(Protocol):
    """The target's git: versions and documents as commits, never the person's checkout."""

    def commit_version(self, branch: str, base: str, diff: str, message: str) -> Patch:
        """Commit a diff on the base; the same arguments give the same SHA. Raise DiffRefused if it fails."""
        ...

    def carry(self, diff: str, origin: str, base: str, both: Callable[[str], bool]) -> str:
        """Return the diff that makes on `base` the change that this one makes on `origin`; raise DiffRefused."""
        ...

    def keep(self, branch: str, commit: str) -> None:
        """Point a branch at a commit, so that what was sent back stays to be read."""
        ...

    def commit_documents(self, branch: str, after: str, files: Mapping[str, Text], message: str) -> str:
        """Commit texts, or what gives them, on the commit `after`, move the branch there, and return the new commit."""
        ...

    def diff(self, base: str, commit: str) -> bytes:
        """Return the exact bytes of base..commit."""
        ...

    def read(self, commit: str, path: str) -> str | None:
        """Return a text file at a commit, or None if there is none."""
        ...

    def tree_sha256(self, commit: str, paths: Sequence[str]) -> str:
        """Return a hash over names, modes and contents of the files under these paths."""
        ...

    def export(self, commit: str) -> Path:
        """Return a folder with the files of a commit and no .git."""
        ...

    def restore(self, commit: str, base: str, editable: Callable[[str], bool], folder: Path) -> None:
        """Write to `folder` the files of `base`, those that may be edited as they are in `commit`, and no .git."""
        ...


class Laboratory(Protocol):
    """Trains and evaluates."""

    def baseline_key(self, base: str, preset: str, train_tokens: int, flags: Switches = ()) -> str:
        """Return the key under which baselines are the same: code, data, configs, machine, and flags that are on."""
        ...

    def recorded_baseline(self, key: str) -> tuple[Run, ...]:
        """Return the floor's runs that an earlier session recorded under this key."""
        ...

    def record_baseline(self, key: str, runs: Sequence[Run]) -> None:
        """Record the floor's runs for later sessions."""
        ...

    def run(self, orders: Sequence[Order]) -> list[Run]:
        """Train the orders, side by side where they may be, and return their runs in order."""
        ...

    def excerpt(self, run: Run) -> str:
        """Return the head and the tail of a run's log, as a person may be shown it."""
        ...

    def keep_checkpoint(self, order: Order) -> str:
        """Put the weights of a run that was to keep them in a place of their own; return it, below `.circle`, or ""."""
        ...

    def close(self) -> None:
        """Remove what only running needed; what is run later makes it again."""
        ...


class Clock(Protocol):
    """Time and ids, so that a replay can have the same ones."""

    def now(self, moment: str) -> str:
        """Return the time of a named moment in UTC, ISO 8601 to the second."""
        ...

    def elapsed(self, moment: str) -> float:
        """Return the seconds that this session has been worked on until a named moment, over all its processes."""
        ...


class Recorder(Protocol):
    """Puts on record, before anything is run for it, what a later step may not choose again."""

    def __call__(self, kind: str, key: str, body: Any) -> Any:
        """Return the body that is on record under (kind, key): this one, unless there was one already."""
        ...


class Reporter(Protocol):
    """Hears what happens, for a live display; it may not answer."""

    def __call__(self, event: str, **details: Any) -> None:
        """Take note of an event."""
        ...


def silent(event: str, **details: Any) -> None:
    """Report nothing."""


Inspect = Callable[[str, Plan], tuple[Issue, ...]]
"""The mechanical review of a commit against the session's base, for a plan."""


Desks = Callable[[Plan | None, str, Order | None], Desk]
"""Opens a desk for a plan, on a commit, with the order of the short run that `check` makes."""


@dataclass(frozen=True)
class Context:
    """All that the nodes are handed: the session's world."""

    session: Session
    target: Target
    researcher: Researcher
    workspace: Workspace
    laboratory: Laboratory
    clock: Clock
    record: Recorder
    inspect: Inspect
    usage: Callable[[str], Usage]
    report: Reporter = silent
    desk: Desks | None = None
