"""The mechanical review of a patch: what its text shows, without a model and before anything runs.

A CRITICAL issue fails the review. The rest are hints for the reviewer who reads, since the sandbox, the
regression run and the trusted evaluation decide what no text can.

    diff.py      the bytes of a git diff -> files, modes, added lines
    paths.py     what may be touched
    sources.py   what compiles, and what the linter's error rules say
    flags.py     the plan's flags and the declared settings
    off_path.py  what runs with the flags off
    suspects.py  what could falsify the measurement
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agents.records import Issue, Plan
from agents.review.diff import read_diff
from agents.review.flags import declaration_issues, plan_flags, plan_issues, undeclared_issues
from agents.review.off_path import off_path_issues
from agents.review.paths import critical, list_files, path_issues
from agents.review.sources import Source, lint_issues, parse, read_sources
from agents.review.suspects import suspect_issues
from agents.settings import Target


def mechanical_issues(*, base: Path, version: Path, diff: bytes, plan: Plan, target: Target) -> tuple[Issue, ...]:
    """Review a version from its trees (exported, without .git) and the bytes of `git diff base..version`.

    What cannot be touched or shown is reported alone: such files are not read any further. Raises CircleError
    if ruff is not installed.
    """
    files = read_diff(diff)
    issues = list(path_issues(files, base, version, target))
    if issues:
        return tuple(issues)
    touched = {name for file in files for name in file.names} | {target.flags.file}
    names = sorted(name for name in touched if name.endswith(".py"))
    sources, issues = read_sources(names, base, version)
    try:
        issues += lint_issues([source.path for source in sources], base, version)
        issues += _code_issues(sources, version, plan, target)
    except RecursionError:
        issues.append(critical("the diff", "The code is nested too deeply to be reviewed.", "Write it flatter."))
    order = ("CRITICAL", "WARNING", "MINOR")
    return tuple(sorted(issues, key=lambda issue: (order.index(issue.severity), issue.file, issue.line or 0)))


def _code_issues(sources: list[Source], version: Path, plan: Plan, target: Target) -> Iterator[Issue]:
    yield from plan_issues(plan, target.reserved)
    settings = target.flags.file
    if target.flags.style == "yaml":
        yield from undeclared_issues(_text(version / settings), target.flags, plan)
    for config in (source for source in sources if source.path == settings):
        by_name = not target.flags.dataclass
        new_reads = {name for source in sources for name in _new_reads(source, settings, by_name)}
        reads = set(_tree_reads(version, settings, by_name))
        yield from declaration_issues(config, target.flags.dataclass, plan, reads, new_reads)
    off = {name: flag.default for name, flag in plan_flags(plan).items()}
    yield from off_path_issues(sources, off, settings)
    for source in sources:
        yield from suspect_issues(source, target)


def _text(file: Path) -> str:
    """A file of the version as text, never through a link; nothing if there is none."""
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() and not file.is_symlink() else ""


def _new_reads(source: Source, settings: str, by_name: bool) -> set[str]:
    trees = (source.before, source.after)
    before, after = (Counter(_reads(tree, source.path == settings, by_name)) for tree in trees)
    return set(after - before)


def _tree_reads(root: Path, settings: str, by_name: bool) -> Iterator[str]:
    for name in list_files(root):
        if name.endswith(".py"):
            try:
                yield from _reads(parse(root, name), name == settings, by_name)
            except (SyntaxError, ValueError, LookupError):
                continue  # a file of the person's own that is no Python of this version reads no flag


def _reads(tree: ast.Module, declares: bool, by_name: bool) -> Iterator[str]:
    """The names that code reads as attributes or names as strings (getattr); plain names, too, if read `by_name`.

    Where settings are declared, a string only describes; elsewhere `self.x` is the class's own, not a flag.
    """
    for node in ast.walk(tree):
        if by_name and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if declares or not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not declares:
            yield node.value
