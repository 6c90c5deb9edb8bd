"""The flags that a file declares: fields of a dataclass, assignments of a Python file, names of a YAML or JSON file."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from agents.errors import TargetError
from agents.records import FlagValue
from agents.settings import Flags

Binding = ast.AnnAssign | ast.Assign
NOT_LITERAL = object()


def declared(text: str, flags: Flags) -> dict[str, FlagValue]:
    """Return the flags of a file by name, with their defaults; those that are no plain values are left out.

    Raises:
        TargetError: the file is no Python, or no YAML.
    """
    if flags.style == "yaml":
        return dict(_leaves(_yaml(text, flags)))
    found = {name: literal(binding.value) for name, binding in fields(_python(text, flags), flags.dataclass).items()}
    return {name: value for name, value in found.items() if isinstance(value, bool | int | float | str)}


def rewritten(text: str, flags: Flags, values: Mapping[str, FlagValue]) -> str:
    """Return a file that declares other values for some of its flags.

    Raises:
        TargetError: the file is no Python or no YAML, or does not declare one of them.
    """
    return _rewritten_yaml(text, flags, values) if flags.style == "yaml" else _rewritten_python(text, flags, values)


def fields(tree: ast.Module, dataclass: str) -> dict[str, Binding]:
    """The last binding of each field in the body of a dataclass, or of the module itself: the one that counts."""
    if not dataclass:
        return bindings(tree.body)
    bodies = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == dataclass]
    return bindings(bodies[-1]) if bodies else {}


def bindings(body: list[ast.stmt]) -> dict[str, Binding]:
    """The last plain assignment to each name in a block."""
    found: dict[str, Binding] = {}
    for statement in body:
        if isinstance(statement, ast.AnnAssign | ast.Assign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return found


def literal(value: ast.expr | None) -> object:
    """The literal default in `= 1`, `= field(default=1)` or `= setting(1, "about")`, else NOT_LITERAL."""
    place = _place(value)
    try:
        return ast.literal_eval(place) if place is not None else NOT_LITERAL
    except ValueError:
        return NOT_LITERAL


def _place(value: ast.expr | None) -> ast.expr | None:
    """The expression that is the default, in what a name is bound to."""
    if isinstance(value, ast.Call):
        named = [keyword.value for keyword in value.keywords if keyword.arg == "default"]
        return next(iter((*named, *value.args)), None)
    return value


def _python(text: str, flags: Flags) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise TargetError(f"{flags.file}, where the flags are declared, is no Python: {error}.") from error


def _rewritten_python(text: str, flags: Flags, values: Mapping[str, FlagValue]) -> str:
    found = fields(_python(text, flags), flags.dataclass)
    places: list[tuple[ast.expr, FlagValue]] = []
    for name, value in values.items():
        place = _place(found[name].value) if name in found else None
        if place is None:
            raise TargetError(f"{flags.file} declares no {name}: circle.toml's flags.file is where flags are declared.")
        places.append((place, value))
    lines = text.encode().splitlines(keepends=True)
    for place, value in sorted(places, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
        assert place.end_lineno is not None and place.end_col_offset is not None
        first, last = place.lineno - 1, place.end_lineno - 1
        tail = lines[last][place.end_col_offset :]
        lines[first : last + 1] = [lines[first][: place.col_offset] + repr(value).encode() + tail]
    return b"".join(lines).decode()


def _yaml(text: str, flags: Flags) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TargetError(f"{flags.file}, where the flags are declared, is no plain YAML: {error}.") from error
    if not isinstance(document, dict):
        raise TargetError(f"{flags.file}, where the flags are declared, has no names at its top.")
    return document


def _leaves(document: Mapping[str, Any], above: str = "") -> list[tuple[str, FlagValue]]:
    found: list[tuple[str, FlagValue]] = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{above}{name}.")
        elif isinstance(value, bool | int | float | str):
            found.append((f"{above}{name}", value))
    return found


def _rewritten_yaml(text: str, flags: Flags, values: Mapping[str, FlagValue]) -> str:
    import yaml

    document = _yaml(text, flags)
    for dotted, value in values.items():
        *above, name = dotted.split(".")
        place: Any = document
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise TargetError(f"{flags.file} declares no {dotted}: a flag is named by its place, as optimizer.lr.")
        place[name] = value
    if flags.file.endswith(".json"):
        return json.dumps(document, indent=2)
    written: str = yaml.safe_dump(document, sort_keys=False)
    return written
