"""Asks the idea-revisor for V-Next: how the next version answers the measured failure of this one."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents.nodes.hold import DROPPED, has_its_turn
from agents.nodes.planner import story
from agents.ports import Context
from agents.records import Answer, Revision
from agents.skills import question
from agents.state import State, amended, current, versions_of


def revisor(state: State, runtime: Runtime[Context]) -> State:
    """Put the revision into the version; the number that it answers is the verdict's own, not the reply's."""
    context, version = runtime.context, current(state)
    verdict = version.verdict
    assert verdict is not None and verdict.cause is not None
    dropped = version.experiment is not None and version.experiment.ended == "dropped"
    if dropped or not has_its_turn(context, version.n, "revision"):
        return {"versions": amended(state, revision=Revision(exhausted=True, change=DROPPED))}
    revision = context.researcher.ask(
        question(
            context.session,
            "idea-revisor",
            "revise",
            idea=context.session.idea.model_dump(mode="json"),
            versions=[story(old) for old in versions_of(state)],
            verdict=verdict.model_dump(mode="json"),
            tried=[tried.told for tried in context.session.tried],
        ),
        Revision,
    )
    answers = Answer(cause=verdict.cause, quantity=verdict.quantity, value=verdict.value)
    revision = revision.model_copy(update={"answers": None if revision.exhausted else answers})
    context.report("revision", version=version.n, revision=revision)
    return {"versions": amended(state, revision=revision)}
