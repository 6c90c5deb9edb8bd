"""Who answers the skills' questions.

`claude` (a model, by the Messages API), `catalogue` (no model), `catalogue:FOLDER` (a person's own), `search` (values
of flags, by Optuna), `scripted:FILE`, or `none` (for a person's own diff).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import UsageError
from agents.ports import Researcher

if TYPE_CHECKING:
    from agents.researchers.claude import World
    from agents.settings import Model, Target

NAMES = ("claude", "catalogue", "catalogue:FOLDER", "search", "scripted:FILE", "none")


def default_name(target: Target) -> str:
    """Return who answers if nobody says.

    It is claude where the environment names a key or a server, else a search where the target says where to search,
    else the catalogue, whose ideas are for Circle's own trainer.
    """
    from agents.researchers.claude.server import has_access

    return "claude" if has_access() else "search" if target.search else "catalogue"


def check_model(name: str, model: Model, *, limited: bool) -> None:
    """Raise UsageError if a researcher that asks a model could not: no way in, or a price that nobody knows."""
    if name != "claude":
        return
    from agents.researchers.claude.prices import price_of
    from agents.researchers.claude.server import address, has_access

    if not has_access():
        raise UsageError(
            "No model can be asked: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for a server of your own; "
            "--researcher catalogue needs neither."
        )
    price_of(model, address(), limited=limited)


def open_researcher(name: str, target: Target, answered: int = 0, world: World | None = None) -> Researcher:
    """Return the researcher of that name, for a target; a script goes on after the replies that it has given already.

    A model can be asked once it has a `world`, which is a session's.

    Raises:
        UsageError: there is no researcher of that name, or the script cannot be read.
    """
    kind, _, place = name.partition(":")
    if name == "claude":
        from agents.researchers.claude import Claude

        return Claude(world)
    if kind == "catalogue" and (place or name == kind):
        from agents.researchers.catalogue import IDEAS, Catalogue

        return Catalogue(Path(place).absolute() if place else IDEAS)
    if name == "search":
        from agents.researchers.search import Search

        return Search(target)
    if kind == "scripted" and place:
        from agents.researchers.scripted import Scripted

        return Scripted(Path(place).absolute(), answered)
    if name == "none":
        from agents.researchers.nobody import Nobody

        return Nobody()
    raise UsageError(f"There is no researcher {name!r}; there are: {', '.join(NAMES)}.")
