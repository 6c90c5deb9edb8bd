"""The plan's flags against the dataclass that declares them, and all other settings against the base.

Where a preset overrides a field, the value that leaves the baseline alone is the preset's: a plan may name
either.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from agents.declarations import NOT_LITERAL, Binding, bindings, declared, fields, literal
from agents.errors import TargetError
from agents.records import Flag, Issue, Plan, Severity
from agents.review.paths import critical
from agents.review.sources import Source
from agents.settings import Flags

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def plan_flags(plan: Plan) -> dict[str, Flag]:
    """All flags of a plan and its ablations by name; the plan's own go first."""
    ablations = [flag for ablation in plan.ablations for flag in ablation.flags]
    return {flag.name: flag for flag in (*reversed(ablations), *reversed(plan.flags))}


def plan_issues(plan: Plan, reserved: frozenset[str]) -> Iterator[Issue]:
    """Flags that are the laboratory's, a plan whose experiment is its baseline, and flags listed but not set."""
    for flag in plan.flags:
        if flag.name in reserved:
            what = f"The flag {flag.name} is the laboratory's to set: both arms get the same."
            yield critical("the plan", what, "Leave it out.")
    still = [flag for flag in plan.flags if same(flag.value, flag.default)]
    if len(still) == len(plan.flags):
        yield critical("the plan", "No flag differs from its default: both arms are one.", "Set a flag's value.")
        return
    for flag in still:
        what = f"The flag {flag.name} stays at its default."
        yield Issue(severity="MINOR", file="the plan", issue=what, fix="Set it, or make it a constant.")


def declaration_issues(
    config: Source, dataclass: str, plan: Plan, reads: set[str], new_reads: set[str]
) -> Iterator[Issue]:
    """Compare the declared fields with the plan and with the base.

    `reads` are the names that the whole tree reads, `new_reads` those that the patch's own code reads: only
    that code can make a new flag live.
    """
    old, new = fields(config.before, dataclass), fields(config.after, dataclass)
    flags = plan_flags(plan)
    for name, flag in flags.items():
        if name not in new:
            what = f"The plan's flag {name} is not {f'a field of {dataclass}' if dataclass else 'declared'}."
            yield critical(config.path, what, f"Declare `{name}: <type> = {flag.default!r}`.")
            continue
        yield from _default_issues(config, new[name], flag, name in old, dataclass)
        if name not in (reads if name in old else new_reads):
            yield critical(config.path, f"The flag {name} is never read: it is dead.", "Read it.", new[name].lineno)
    for name in new.keys() - old.keys() - flags.keys():
        what = f"The patch declares {name}, which is not a flag of the plan."
        yield critical(config.path, what, "Add it to the plan's flags, or make it a constant.", new[name].lineno)
    yield from _setting_issues(config, old, new)


def undeclared_issues(text: str, flags: Flags, plan: Plan) -> Iterator[Issue]:
    """The plan's flags that a YAML file does not have, or has with another value than the plan's default."""
    try:
        found = declared(text, flags)
    except TargetError as error:
        yield critical(flags.file, str(error), "Correct it.")
        return
    for name, flag in plan_flags(plan).items():
        if name not in found:
            yield critical(flags.file, f"The plan's flag {name} is not declared.", f"Add it as {flag.default!r}.")
        elif not same(found[name], flag.default):
            what = f"{name} is declared as {found[name]!r}, but the plan's default is {flag.default!r}."
            yield critical(flags.file, what, "Make the two the same value, which leaves the baseline alone.")


def same(a: object, b: object) -> bool:
    """Whether two literals are equal and of one kind: 1 is 1.0, but not True."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _default_issues(config: Source, field: Binding, flag: Flag, existed: bool, dataclass: str) -> Iterator[Issue]:
    declared, line = literal(field.value), field.lineno
    if isinstance(field, ast.Assign) and dataclass:
        yield critical(config.path, f"The flag {flag.name} has no type, so it is no field.", "Annotate it.", line)
    if declared is NOT_LITERAL:
        what = f"The default of {flag.name} is not a literal, so it cannot be compared with the plan's."
        severity: Severity = "WARNING" if existed else "CRITICAL"
        yield Issue(severity=severity, file=config.path, line=line, issue=what, fix="Write the value itself.")
        return
    overrides = _overrides(config.before, flag.name) if existed else []
    if not any(same(flag.default, value) for value in (declared, *overrides)):
        what = f"{flag.name} is declared as {declared!r}, but the plan's default is {flag.default!r}."
        yield critical(config.path, what, "Make the two the same value, which leaves the baseline alone.", line)


def _overrides(tree: ast.Module, name: str) -> list[object]:
    """What presets give a field: keywords and dictionary entries of its name."""
    values: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values += [keyword.value for keyword in node.keywords if keyword.arg == name]
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            values += [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == name]
    return [literal(value) for value in values]


def _setting_issues(config: Source, old: dict[str, Binding], new: dict[str, Binding]) -> Iterator[Issue]:
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            yield critical(config.path, f"The setting {name} is gone.", "Keep it.")
        elif literal(before.value) is NOT_LITERAL or literal(after.value) is NOT_LITERAL:
            if not _equal(before.value, after.value):
                yield critical(config.path, f"The default of {name} changed.", "Restore it.", after.lineno)
        elif not same(literal(before.value), literal(after.value)):
            yield critical(
                config.path,
                f"The default of {name} changed, for the baseline too.",
                "Restore it.",
                after.lineno,
            )
        elif ast.dump(before) != ast.dump(after):
            what = f"The type or the description of {name} changed."
            yield Issue(severity="WARNING", file=config.path, line=after.lineno, issue=what, fix="Restore it.")
    yield from _module_issues(config)


def _module_issues(config: Source) -> Iterator[Issue]:
    """Presets and constants that changed, and statements that could change settings on import."""
    old, new = bindings(config.before.body), bindings(config.after.body)
    for name, before in old.items():
        after = new.get(name)
        if after is None or not (_equal(before.value, after.value) or _extends(before.value, after.value)):
            line = after.lineno if after else None
            yield critical(config.path, f"{name} changed, for the baseline too.", "Restore it.", line)
    known = {ast.dump(statement) for statement in config.before.body}
    plain = {ast.dump(statement) for statement in new.values()}
    for statement in config.after.body:
        documents = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (documents or isinstance(statement, _DEFINITIONS) or ast.dump(statement) in known | plain):
            what = "The patch runs a statement where settings are only declared."
            yield critical(config.path, what, "Move it into a function of the training code.", statement.lineno)


def _equal(a: ast.expr | None, b: ast.expr | None) -> bool:
    return (a and ast.dump(a)) == (b and ast.dump(b))


def _extends(old: ast.expr | None, new: ast.expr | None) -> bool:
    """Whether a Literal[...] only gained values, as for a new choice of an existing flag."""
    if not (isinstance(old, ast.Subscript) and isinstance(new, ast.Subscript) and _equal(old.value, new.value)):
        return False
    choices = [{ast.dump(n) for n in ast.walk(side.slice) if isinstance(n, ast.Constant)} for side in (old, new)]
    return ast.unparse(old.value).split(".")[-1] == "Literal" and choices[0] <= choices[1]
