"""Who answers the skills' questions.

`catalogue` (no model), `catalogue:FOLDER` (a person's own), `scripted:FILE`, or `none` (for a person's own diff).
"""

from __future__ import annotations

from pathlib import Path

from agents.errors import UsageError
from agents.ports import Researcher

NAMES = ("catalogue", "catalogue:FOLDER", "scripted:FILE", "none")


def open_researcher(name: str, answered: int = 0) -> Researcher:
    """Return the researcher of that name; a script goes on after the replies that it has given already.

    Raises:
        UsageError: there is no researcher of that name, or the script cannot be read.
    """
    kind, _, place = name.partition(":")
    if kind == "catalogue" and (place or name == kind):
        from agents.researchers.catalogue import IDEAS, Catalogue

        return Catalogue(Path(place).absolute() if place else IDEAS)
    if kind == "scripted" and place:
        from agents.researchers.scripted import Scripted

        return Scripted(Path(place).absolute(), answered)
    if name == "none":
        from agents.researchers.nobody import Nobody

        return Nobody()
    raise UsageError(f"There is no researcher {name!r}; there are: {', '.join(NAMES)}.")
