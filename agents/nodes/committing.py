"""A diff as a version's one code commit with the paper opened above it; what stood there before stays to be read."""

from __future__ import annotations

from typing import Any

from agents.ports import Context
from agents.records import Attempt, Version
from agents.report import documents
from agents.state import State, amended, current


def committed(state: State, context: Context, attempts: tuple[Attempt, ...], diff: str, message: str) -> State:
    """Commit a diff as one that nobody has reviewed or approved; the same as before is no other diff.

    Raises:
        DiffRefused: it does not apply to the base commit.
    """
    version, name = current(state), branch(context, current(state))
    patch = context.workspace.commit_version(name, context.session.base, diff, message)
    if version.patch and patch.diff_sha256 == version.patch.diff_sha256:
        return {"versions": amended(state, attempts=attempts)}
    versions = amended(state, **anew(attempts) | {"patch": patch})
    context.report("patch", version=version.n, patch=patch)
    return documents.written({**state, "versions": versions}, context, f"Open the paper of version {version.n}")


def keep(context: Context, version: Version, attempts: tuple[Attempt, ...]) -> None:
    """Keep the newest attempt's commit on a branch of its own."""
    if attempts:
        context.workspace.keep(f"{branch(context, version)}-attempt{len(attempts)}", attempts[-1].commit)


def anew(attempts: tuple[Attempt, ...]) -> dict[str, Any]:
    """What changes of a version whose diff is another one: nothing that happened to the old one counts."""
    cleared = ("patch", "review", "approval", "regression", "experiment", "verdict")
    return {**dict.fromkeys(cleared), "attempts": attempts, "refused": "", "tip": ""}


def branch(context: Context, version: Version) -> str:
    """Return the name of a version's branch."""
    return f"circle/{context.session.id}/v{version.n}"
