"""What a session has used up to its newest run: a checkpoint is as old as the node that is at work."""

from __future__ import annotations

from agents.records import Spend
from agents.session import Opened

_FREE = ("check",)
"""Stages whose runs are not counted: a few steps by which a model sees whether its code runs at all."""


def spent(opened: Opened, by_the_checkpoint: Spend) -> Spend:
    """Return what is on record as used; time is known as of the last node's end, or the last check of a limit."""
    with opened.journal() as journal:
        runs, elapsed = journal.bodies("run").values(), journal.bodies("elapsed").values()
    return by_the_checkpoint.model_copy(
        update={
            "runs": max(by_the_checkpoint.runs, sum(run["stage"] not in _FREE for run in runs)),
            "wall_seconds": max([by_the_checkpoint.wall_seconds, *elapsed]),
        }
    )
