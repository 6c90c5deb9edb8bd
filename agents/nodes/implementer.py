"""Asks for the change that the plan describes and commits it on the version's branch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from langgraph.runtime import Runtime

from agents.errors import DiffRefused
from agents.nodes.committing import anew, committed, keep
from agents.nodes.planner import story
from agents.ports import Context, Desk, Order, switched
from agents.records import Attempt, Change, Version
from agents.skills import question
from agents.state import State, amended, baseline_of, current, versions_of

MAX_ATTEMPTS, _CHECKED_STEPS = 3, 10


def implementer(state: State, runtime: Runtime[Context]) -> State:
    """Commit the change as the version's one code commit, then open the paper above it.

    The same diff as the one that was sent back is no repair: then the version stays as it was.
    """
    context, version = runtime.context, current(state)
    attempts = (*version.attempts, *_sent_back(version))
    change = context.researcher.ask(
        question(
            context.session,
            "experiment-planner",
            "implement",
            idea=context.session.idea.model_dump(mode="json"),
            target=context.target.model_dump(mode="json", include={"name", "paths", "flags"}),
            version=story(version),
            attempts=[attempt.model_dump(mode="json") for attempt in attempts],
            logs=_logs(context, version),
            diffs=_earlier_code(state, context),
            desk=_desk(state, context, version),
        ),
        Change,
    )
    keep(context, version, attempts)
    message = f"{version.plan.title}\n\n{change.summary}"
    try:
        return committed(state, context, attempts, _on_the_base(context, change.diff), message)
    except DiffRefused as refused:
        return {"versions": amended(state, **anew(attempts) | {"refused": str(refused)})}


def _desk(state: State, context: Context, version: Version) -> Callable[[], Desk] | None:
    """A desk with the base commit's files, or those of the attempt that is to be repaired.

    Without a sandbox nothing of it is run before a person has approved it.
    """
    if context.desk is None:
        return None
    session, floor = context.session, baseline_of(state)
    assert floor is not None
    first, short = floor.runs[0], context.target.scale(session.preset).short_tokens
    tokens = math.ceil(_CHECKED_STEPS * first.train_tokens / first.steps) if first.steps else short
    start = version.patch.commit if version.patch else session.base
    flags = switched(session.standing, version.plan.flags)
    short_run = Order("experiment", "check", first.seed, start, tokens, flags=flags)
    protected = session.sandbox != "none" or session.turbo
    return partial(context.desk, version.plan, start, short_run if protected else None)


def _logs(context: Context, version: Version) -> list[str]:
    """The head and the tail of the log of a run that failed, of the attempt that is to be repaired."""
    if version.regression and version.regression.log:
        return [version.regression.log]
    return [context.laboratory.excerpt(run) for run in version.experiment.failed_runs[:1]] if version.experiment else []


def _earlier_code(state: State, context: Context) -> list[str]:
    """The diff of the version before this one, which V-Next may take up again."""
    base, earlier = context.session.base, versions_of(state)[:-1]
    patches = [old.patch for old in earlier if old.patch and old.patch.files]
    return [context.workspace.diff(base, patch.commit).decode(errors="replace") for patch in patches[-1:]]


def _on_the_base(context: Context, diff: str) -> str:
    """Carry a diff that was written for the person's commit over the wins that lie between it and the base."""
    session, flags = context.session, context.target.flags.file
    if not session.origin:
        return diff
    return context.workspace.carry(diff, session.origin, session.base, lambda path: path == flags)


def attempts_left(version: Version) -> bool:
    """Whether the version may be repaired: attempts are bounded, and a person's own diff is theirs."""
    return version.patch is not None and not version.brought and len(version.repairs) + 1 < MAX_ATTEMPTS


def unrepaired(version: Version) -> bool:
    """Whether the newest attempt to repair the version gave the same diff again."""
    last = version.attempts[-1] if version.attempts else None
    return last is not None and version.patch is not None and last.diff_sha256 == version.patch.diff_sha256


def _sent_back(version: Version) -> tuple[Attempt, ...]:
    if version.patch is None:
        return ()
    failure = _failure(version)
    return (Attempt(commit=version.patch.commit, diff_sha256=version.patch.diff_sha256, failure=failure),)


def _failure(version: Version) -> str:
    if version.verdict:
        return version.verdict.finding
    if version.regression:
        return version.regression.reason
    issues = version.review.issues if version.review else ()
    return "; ".join(f"{issue.file}: {issue.issue}" for issue in issues if issue.severity == "CRITICAL")
