"""Reviews a patch: what a machine can check first, then the implementation-reviewer's reading."""

from __future__ import annotations

from functools import partial

from langgraph.runtime import Runtime

from agents.nodes.planner import story
from agents.ports import Context
from agents.records import Issue, Review, Version, flag_words
from agents.skills import question
from agents.state import State, amended, current, versions_of


def reviewer(state: State, runtime: Runtime[Context]) -> State:
    """Put the review into the version; a CRITICAL issue of either reading fails it."""
    context, version = runtime.context, current(state)
    issues = _mechanical(state, context, version)
    if not _critical(issues):
        issues = (*issues, *_read(context, version, issues).issues)
    review = Review(passed=not _critical(issues), issues=issues)
    context.report("review", version=version.n, review=review)
    return {"versions": amended(state, review=review)}


def _mechanical(state: State, context: Context, version: Version) -> tuple[Issue, ...]:
    if version.patch is None:
        fix = "Write the diff against exactly that commit."
        return (Issue(severity="CRITICAL", file="", issue=version.refused, fix=fix),)
    return (*_repetition(state, context, version), *context.inspect(version.patch.commit, version.plan))


def _repetition(state: State, context: Context, version: Version) -> tuple[Issue, ...]:
    """A version that failed before, with the same diff and flags, is never tried again."""
    assert version.patch is not None
    mine = (version.patch.diff_sha256, flag_words(version.plan.flags))
    earlier = {
        (old.diff_sha256, old.flags): f"version {old.version} of session {old.session}"
        for old in reversed(context.session.tried)
        if old.failed
    }
    earlier |= {
        (old.patch.diff_sha256, flag_words(old.plan.flags)): f"version {old.n}"
        for old in versions_of(state)[:-1]
        if old.patch and old.verdict
    }
    if mine not in earlier:
        return ()
    issue = f"This is {earlier[mine]} again: the same diff with the same flags, which did not beat the baseline."
    fix = "Change the diff or a flag's value; a session with --no-memory tries it all the same."
    return (Issue(severity="CRITICAL", file="", issue=issue, fix=fix),)


def _read(context: Context, version: Version, found: tuple[Issue, ...]) -> Review:
    assert version.patch is not None
    diff = context.workspace.diff(context.session.base, version.patch.commit).decode(errors="replace")
    return context.researcher.ask(
        question(
            context.session,
            "implementation-reviewer",
            "review",
            idea=context.session.idea.model_dump(mode="json"),
            version=story(version),
            diff=diff,
            found=[issue.model_dump(mode="json") for issue in found],
            desk=partial(context.desk, None, version.patch.commit, None) if context.desk else None,
        ),
        Review,
    )


def _critical(issues: tuple[Issue, ...]) -> bool:
    return any(issue.severity == "CRITICAL" for issue in issues)
