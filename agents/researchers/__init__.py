"""Who answers the skills' questions: `catalogue` (no model), `scripted:FILE` (a list of replies)."""

from __future__ import annotations

from pathlib import Path

from agents.errors import UsageError
from agents.ports import Researcher

NAMES = ("catalogue", "scripted:FILE")


def open_researcher(name: str, answered: int = 0) -> Researcher:
    """Return the researcher of that name; a script goes on after the replies that it has given already.

    Raises:
        UsageError: there is no researcher of that name, or the script cannot be read.
    """
    if name == "catalogue":
        from agents.researchers.catalogue import Catalogue

        return Catalogue()
    kind, _, file = name.partition(":")
    if kind == "scripted" and file:
        from agents.researchers.scripted import Scripted

        return Scripted(Path(file).absolute(), answered)
    raise UsageError(f"There is no researcher {name!r}; there are: {', '.join(NAMES)}.")
