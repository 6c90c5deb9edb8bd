"""A laboratory on this machine: for a session, or for measurements outside any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.journal import Journal
from agents.ports import Reporter
from agents.session import Home, load_committed_target, now
from agents.settings import Target

if TYPE_CHECKING:
    from agents.laboratory.local import LocalLaboratory


@dataclass(frozen=True)
class Bench:
    """What a measurement outside a session has: a laboratory for a commit and a preset."""

    target: Target
    laboratory: LocalLaboratory
    base: str
    preset: str
    train_tokens: int


@contextmanager
def measuring(
    home: Home,
    report: Reporter,
    *,
    preset: str | None = None,
    train_tokens: int | None = None,
    no_sandbox: bool = False,
) -> Iterator[Bench]:
    """Give a laboratory for the current commit, with a folder and a journal of its own."""
    base = home.workspace.head()
    target = load_committed_target(home.workspace, base)
    scale = preset or target.preset
    tokens = train_tokens or target.scale(scale).train_tokens
    home.prepare()
    folder = home.folder / "measurements" / now().replace(":", "")
    folder.mkdir(parents=True, exist_ok=True)
    laboratory = open_laboratory(
        home, target, base, scale, folder, Journal(folder / "journal.sqlite"), no_sandbox, side_by_side(target), report
    )
    try:
        yield Bench(target, laboratory, base, scale, tokens)
    finally:
        laboratory.close()


def side_by_side(target: Target) -> int:
    """Return how many runs this machine has room for at once."""
    return max(1, (os.cpu_count() or 1) // target.train.threads)


def open_laboratory(
    home: Home,
    target: Target,
    base: str,
    preset: str,
    folder: Path,
    journal: Journal,
    no_sandbox: bool,
    workers: int,
    report: Reporter,
) -> LocalLaboratory:
    """Return a laboratory whose runs lie in `folder`; raise SandboxMissing if it cannot protect the machine."""
    from agents.laboratory.local import LocalLaboratory
    from agents.laboratory.sandbox import choose

    return LocalLaboratory(
        target=target,
        base=base,
        preset=preset,
        home=home.folder,
        folder=folder,
        workspace=home.workspace,
        sandbox=choose(no_sandbox),
        journal=journal,
        workers=workers,
        report=report,
    )
