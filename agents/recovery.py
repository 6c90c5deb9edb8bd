"""Before a session goes on: its journal as it was written, and a checkpoint that agrees with it.

The journal alone says what has been done. A checkpoint that is lost or damaged is made again by walking today's graph
through the journal; a journal that is damaged cannot be, and the sentence says what still stands.
"""

from __future__ import annotations

from agents.checkpoints import checkpoints
from agents.errors import CheckpointLost, JournalDamaged, SessionError
from agents.journal import Journal
from agents.replay import Tape, TapedLaboratory, walk
from agents.session import CHECKPOINTS, Opened


def check(opened: Opened, journal: Journal) -> None:
    """Make the checkpoint again if it is lost.

    Raises:
        JournalDamaged: what the session has done is not known for certain any more.
        SessionError: today's graph does not come to where the journal says that the session was.
    """
    try:
        journal.check()
        with opened.graph() as (graph, config):
            opened.snapshot(graph, config)
    except JournalDamaged as damaged:
        raise JournalDamaged(f"{damaged} {_what_stands(opened)}") from damaged
    except CheckpointLost:
        make_again(opened, journal)


def make_again(opened: Opened, journal: Journal) -> None:
    """Make a session's checkpoint from its journal; raise SessionError where that leads not to its end."""
    for file in opened.folder.glob(f"{CHECKPOINTS}*"):
        file.replace(file.with_name(f"damaged-{file.name}"))
    with checkpoints(opened.folder / CHECKPOINTS) as saver:
        for last in walk(opened, TapedLaboratory(Tape(journal)), saver):
            if last.divergence:
                name, step = opened.session.id, last.number
                raise SessionError(
                    f"The checkpoint of session {name} is lost, and its journal leads today's graph only to step "
                    f"{step - 1}: {last.divergence.what}. Its branches and runs still stand; "
                    f"circle fork {name} --at {step - 1} goes on from there."
                )


def _what_stands(opened: Opened) -> str:
    """Say what is left of a session whose journal is damaged."""
    name = opened.session.id
    kept = f"The commits on circle/{name}/ still stand"
    try:
        with opened.graph() as (graph, config):
            values = opened.newest(graph, config).values
    except CheckpointLost:
        values = {}
    step = values.get("step", 0)
    if values.get("status"):
        return f"Session {name} had ended, with a {values['status']}: that, its paper and its branches still stand."
    if not step:
        return f"What session {name} did after that is lost. {kept}; start it again."
    return (
        f"So it is not known what session {name} did after step {step}, and it cannot go on. {kept}, and its state "
        f"after that step: circle fork {name} --at {step} goes on from there."
    )
