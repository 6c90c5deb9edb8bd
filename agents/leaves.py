"""A JSON-plain value as its leaves, each by its path: what a step changed in a state, and where two states differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agents.records import canonical, digest

_DEEPEST, _LONGEST, _SHOWN = 4, 200, 80
Leaves = dict[str, Any]


def leaves(value: Any) -> Leaves:
    """Return the scalars of a value by dotted path, what lies deep as one; what is long is there by its hash."""
    return dict(_leaves(value, ""))


def changes(before: Leaves, after: Leaves) -> dict[str, Any]:
    """Return what turns the one into the other: the leaves that are `new`, and the paths that are `gone`."""
    new = {path: leaf for path, leaf in after.items() if path not in before or before[path] != leaf}
    return {"new": new, "gone": [path for path in before if path not in after]}


def changed(before: Leaves, by: Mapping[str, Any]) -> Leaves:
    """Return the leaves after such changes."""
    new, gone = by["new"], set(by["gone"])
    return {path: leaf for path, leaf in before.items() if path not in gone} | dict(new)


def _leaves(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if inner and value and depth < _DEEPEST:
        for name, part in inner:
            yield from _leaves(part, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, dict | list) and len(canonical(value)) > _LONGEST:
        yield path, f"{len(value)} entries, SHA-256 {digest(value)}"
    elif isinstance(value, str) and len(value) > _LONGEST:
        yield path, f"{value[:_SHOWN]}… {len(value)} characters, SHA-256 {digest(value)}"
    else:
        yield path, value
