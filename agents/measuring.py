"""A laboratory: for a session, or for measurements outside any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.journal import Journal
from agents.laboratory.choice import LOCAL, OWN, cluster_of, side_by_side
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
    lab: str = LOCAL,
) -> Iterator[Bench]:
    """Give a laboratory for the current commit, with a folder and a journal of its own."""
    base = home.workspace.head()
    target = load_committed_target(home.workspace, base)
    scale = preset or target.preset
    tokens = train_tokens or target.scale(scale).train_tokens
    home.prepare()
    folder = home.folder / "measurements" / now().replace(":", "")
    folder.mkdir(parents=True, exist_ok=True)
    workers = side_by_side(lab, target, unprotected=no_sandbox)
    journal = Journal(folder / "journal.sqlite")
    laboratory = open_laboratory(home, target, base, scale, folder, journal, no_sandbox, workers, report, lab)
    try:
        yield Bench(target, laboratory, base, scale, tokens)
    finally:
        laboratory.close()


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
    lab: str = LOCAL,
    turn: Path | None = None,
) -> LocalLaboratory:
    """Return a laboratory whose runs lie in `folder`; on this machine, and on clusters that sessions start
    on it, those with the same `turn` take turns.

    Raises:
        UsageError: there is no laboratory of that name.
        SandboxMissing: it cannot protect the machine.
        LaboratoryError: its cluster does not answer, or has no node that this session can use.
    """
    from agents.laboratory.local import LocalLaboratory
    from agents.laboratory.sandbox import choose

    address = cluster_of(lab)
    parts: dict[str, Any] = {
        "target": target,
        "base": base,
        "preset": preset,
        "home": home.folder,
        "folder": folder,
        "workspace": home.workspace,
        "sandbox": choose(no_sandbox),
        "journal": journal,
        "workers": workers,
        "report": report,
        "turn": turn if address in (None, OWN) else None,
    }
    if address is None:
        return LocalLaboratory(**parts)
    from agents.laboratory.cluster import join
    from agents.laboratory.ray import RayLaboratory

    return RayLaboratory(cluster=join(address), **parts)
