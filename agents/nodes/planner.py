"""Asks the experiment-planner for the next version's plan."""

from __future__ import annotations

from functools import partial

from langgraph.runtime import Runtime

from agents.ports import Context
from agents.records import Plan, Version
from agents.skills import question
from agents.state import State, baseline_of, versions_of


def planner(state: State, runtime: Runtime[Context]) -> State:
    """Add a version with its plan: the idea's first, or the one that answers a failure or a rejection."""
    context, versions = runtime.context, versions_of(state)
    floor = baseline_of(state)
    parent = versions[-1] if versions else None
    rejected = parent and parent.approval and parent.approval.decision == "rejected"
    plan = context.researcher.ask(
        question(
            context.session,
            "experiment-planner",
            "plan",
            idea=context.session.idea.model_dump(mode="json"),
            target=context.target.model_dump(mode="json", include={"name", "paths", "flags", "metric"}),
            baseline=floor.model_dump(mode="json", exclude={"runs"}) if floor else None,
            versions=[story(version) for version in versions],
            rejection=parent.approval.comment if parent and parent.approval and rejected else "",
            tried=[tried.told for tried in context.session.tried],
            before=[tried.told for tried in context.session.before],
            standing=[flag.model_dump(mode="json") for flag in context.session.standing],
            desk=partial(context.desk, None, context.session.base, None) if context.desk else None,
        ),
        Plan,
    )
    version = Version(n=len(versions) + 1, parent=parent.n if parent else None, plan=plan)
    context.report("plan", version=version, before=context.session.tried_before(plan.flags))
    return {"versions": [*state.get("versions", []), version.model_dump(mode="json")]}


def story(version: Version) -> dict[str, object]:
    """Return what a researcher may know of a version: no hidden number of a version that failed."""
    return {
        "n": version.n,
        "plan": version.plan.model_dump(mode="json"),
        "diff_sha256": version.patch.diff_sha256 if version.patch else None,
        "review": version.review.model_dump(mode="json") if version.review else None,
        "approval": version.approval.model_dump(mode="json") if version.approval else None,
        "regression": version.regression.model_dump(mode="json", exclude={"log"}) if version.regression else None,
        "gain": _gain(version),
        "verdict": version.verdict.model_dump(mode="json") if version.verdict else None,
        "revision": version.revision.model_dump(mode="json") if version.revision else None,
    }


def _gain(version: Version) -> float | None:
    """The mean gain on the visible split, at equal time where that is known: no word of the hidden one."""
    experiment = version.experiment
    effect = experiment and (experiment.equal_time_effect or experiment.visible_effect)
    return effect.mean if effect else None
