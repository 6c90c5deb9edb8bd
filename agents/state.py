"""The graph's state: JSON-plain, small, replaced and never mutated."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from agents.records import Baseline, Session, Spend, Usage, Version


def _merged(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    return old | new


class State(TypedDict, total=False):
    """What LangGraph checkpoints after each step; every value is the dump of a record, or a number or a word.

    `runs` maps the key of each run that this session trained to its seconds: charged once, however often a step is
    repeated. `step` counts the nodes that ended, of which `node` was the last; `usage` is what model calls have used,
    `halted` why the session cannot go on, `conclusion` why it ended without a victory.
    """

    session: dict[str, Any]
    baseline: dict[str, Any] | None
    versions: list[dict[str, Any]]
    runs: Annotated[dict[str, float], _merged]
    step: int
    node: str
    wall_seconds: float
    usage: dict[str, Any]
    halted: str
    victory: dict[str, Any] | None
    conclusion: str
    status: str


def session_of(state: State) -> Session:
    """Return the session's record."""
    return Session.model_validate(state["session"])


def baseline_of(state: State) -> Baseline | None:
    """Return the noise floor, if it has been measured."""
    found = state.get("baseline")
    return Baseline.model_validate(found) if found else None


def versions_of(state: State) -> tuple[Version, ...]:
    """Return all versions, oldest first."""
    return tuple(Version.model_validate(version) for version in state.get("versions", []))


def current(state: State) -> Version:
    """Return the version that is being worked on."""
    return Version.model_validate(state["versions"][-1])


def spend_of(state: State) -> Spend:
    """Return what the session has used so far."""
    runs = state.get("runs", {})
    used = Usage.model_validate(state.get("usage", {}))
    return Spend(
        **used.model_dump(),
        runs=len(runs),
        train_seconds=sum(runs.values()),
        wall_seconds=state.get("wall_seconds", 0.0),
    )


def amended(state: State, **changes: Any) -> list[dict[str, Any]]:
    """Return the versions with the current one changed."""
    version = current(state).model_copy(update=changes)
    return [*state["versions"][:-1], version.model_dump(mode="json")]
