"""Waits for a person's decision on the bytes that were shown; nothing else happens in this node."""

from __future__ import annotations

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from agents.errors import SessionError
from agents.ports import Context
from agents.records import Approval
from agents.state import State, amended, current


def approval(state: State, runtime: Runtime[Context]) -> State:
    """Put the decision into the version; under --turbo the session decides, and on a judged diff its author has."""
    context, version = runtime.context, current(state)
    if version.patch is None:
        raise SessionError(f"Version {version.n} has no diff that could be approved.")
    sha256 = version.patch.diff_sha256
    if version.brought and version.approval:
        decision = version.approval
    elif context.session.turbo:
        at = context.clock.now(f"approval of {version.patch.commit}")
        decision = Approval(decision="approved", by="turbo", at=at, sha256=sha256)
    else:
        decision = Approval.model_validate(interrupt({"version": version.n, "sha256": sha256}))
    if decision.sha256 != sha256:
        raise SessionError(f"The decision was on {decision.sha256[:12]}…, the diff that waits is {sha256[:12]}….")
    context.report("approval", version=version.n, approval=decision)
    return {"versions": amended(state, approval=decision)}
