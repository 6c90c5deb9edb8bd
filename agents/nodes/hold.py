"""Where a session of a campaign waits for its turn; any other session goes on at once."""

from __future__ import annotations

from typing import Literal

from langgraph.types import interrupt

from agents.ports import Context

GO_ON, DROP = "go on", "drop"
DROPPED = "Better ideas of the campaign had the runs, or a bundle that it is a part of."


def has_its_turn(
    context: Context, version: int, before: Literal["confirmation", "revision"], **seen: float | None
) -> bool:
    """Whether the version goes on: the node that asks is left until the campaign answers, and then runs again."""
    if not context.session.campaign:
        return True
    return bool(interrupt({"held": before, "version": version, **seen}) == GO_ON)
