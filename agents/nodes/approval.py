"""Waits for a person's decision on the bytes that were shown, unless it was given beforehand."""

from __future__ import annotations

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from agents.errors import DiffRefused, SessionError
from agents.nodes.committing import committed, keep
from agents.ports import Context
from agents.records import Approval, Attempt, Edited, Patch, Version
from agents.scope import covers
from agents.state import State, amended, current
from agents.unseen import left_out


def approval(state: State, runtime: Runtime[Context]) -> State:
    """Put the decision into the version; a diff that a person edited takes the old one's place, undecided."""
    context, version = runtime.context, current(state)
    if version.patch is None:
        raise SessionError(f"Version {version.n} has no diff that could be approved.")
    sha256 = version.patch.diff_sha256
    decision = _beforehand(context, version, version.patch) or _asked(version.n, sha256)
    if decision.sha256 != sha256:
        raise SessionError(f"The decision was on {decision.sha256[:12]}…, the diff that waits is {sha256[:12]}….")
    context.report("approval", version=version.n, approval=decision)
    if isinstance(decision, Edited):
        return _edited(state, context, version.patch, decision)
    return {"versions": amended(state, approval=decision)}


def _beforehand(context: Context, version: Version, patch: Patch) -> Approval | None:
    """The author's decision on a judged diff, --turbo's on any, and that of a scope on what lies in it."""
    session = context.session
    if version.brought and version.approval:
        return version.approval
    if session.turbo:
        by, comment = "turbo", ""
    elif covers(session.approve_scope, patch.files) and not _too_long(context, patch):
        by, comment = "scope", f"Only files of {', '.join(session.approve_scope)}, as {session.scope_by} allowed."
    else:
        return None
    at = context.clock.now(f"approval of {patch.commit}")
    return Approval(decision="approved", by=by, at=at, sha256=patch.diff_sha256, comment=comment)


def _too_long(context: Context, patch: Patch) -> bool:
    return bool(left_out(context.workspace.diff(context.session.base, patch.commit)))


def _asked(version: int, sha256: str) -> Approval:
    answer = interrupt({"version": version, "sha256": sha256})
    return (Edited if answer["decision"] == "edited" else Approval).model_validate(answer)


def _edited(state: State, context: Context, patch: Patch, edited: Edited) -> State:
    """Commit a person's diff in the place of the one that waits; where it does not apply, that one waits on."""
    version = current(state)
    decision = Approval.model_validate(edited.model_dump(exclude={"diff"}))
    failure = f"{edited.by} edited it."
    old = Attempt(commit=patch.commit, diff_sha256=patch.diff_sha256, failure=failure, edit=decision)
    attempts = (*version.attempts, old)
    keep(context, version, attempts)
    message = f"{version.plan.title}\n\nEdited by {edited.by}."
    try:
        return committed(state, context, attempts, edited.diff, message)
    except DiffRefused:
        return {"versions": amended(state, review=None)}
