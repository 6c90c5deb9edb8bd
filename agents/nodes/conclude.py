"""An honest end without a victory: what was tried, what was measured, and why it stops here."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents import budget
from agents.nodes.hold import DROPPED
from agents.ports import Context
from agents.report import documents
from agents.state import State, session_of, versions_of


def conclude(state: State, runtime: Runtime[Context]) -> State:
    """End the session with the reason, in the paper and the idea log of its last version."""
    context = runtime.context
    ended: State = {"conclusion": reason(state), "status": "concluded"}
    written = documents.written({**state, **ended}, context, "Conclude the paper and the idea log")
    context.report("conclusion", reason=ended["conclusion"])
    return {**ended, **written}


def reason(state: State) -> str:
    """Return why the session ends, in a sentence."""
    versions = versions_of(state)
    if halted := state.get("halted"):
        return halted
    if state.get("baseline") is None:
        return "The budget has no room for the baseline's noise floor."
    revision = versions[-1].revision if versions else None
    if revision and revision.change == DROPPED:
        return DROPPED
    if session_of(state).researcher == "none" and versions and versions[-1].verdict:
        return "The diff was judged, and nobody but its author revises it."
    if revision and revision.exhausted:
        return f"The idea is exhausted: {revision.change}"
    return budget.exhausted(state) or budget.no_more_versions(state) or "Nothing is left to be tried."
