"""Approval given beforehand: the files that a diff may touch without a person being asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from agents.errors import UsageError
from agents.settings import FILE, Target


def scope_of(words: Iterable[str], target: Target, files: Collection[str]) -> tuple[str, ...]:
    """Return a scope's files and folders; raise UsageError for one where no patch may touch anything.

    A folder ends in / and holds one of `files`, those of the base commit, that may be edited.
    """
    scope = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for path in scope:
        if path.endswith("/"):
            inside = any(name.startswith(path) and target.editable(name) for name in files)
        else:
            inside = target.editable(path) and ".." not in path.split("/")
        if not inside:
            raise UsageError(
                f"--approve-scope {path} is outside of what {FILE} lets a patch touch: name editable files, or "
                "folders of them that end in /."
            )
    return scope


def covers(scope: Sequence[str], touched: Iterable[str]) -> bool:
    """Whether there is a scope and all files that are touched lie in it."""
    folders = tuple(path for path in scope if path.endswith("/"))
    return bool(scope) and all(path in scope or path.startswith(folders) for path in touched)
