"""The changed Python files as text and syntax trees, and what a compiler and a linter say of them."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import CircleError
from agents.records import Issue, Severity
from agents.review.paths import critical

_UNTIDY = {"F401", "F403", "F405", "F541", "F811", "F841"}  # unused, star-imported, redefined: not yet wrong
_RULES = (
    "--isolated",
    "--no-cache",
    "--ignore-noqa",
    "--select",
    "E9,F",
    "--output-format",
    "json",
    "--exit-zero",
)


@dataclass(frozen=True)
class Source:
    """A Python file before and after; a new file was empty before, and a deleted one is empty after."""

    path: str
    before: ast.Module
    after: ast.Module


def read_sources(names: Sequence[str], base: Path, version: Path) -> tuple[list[Source], list[Issue]]:
    """Parse both sides of each file; a version's file that cannot be parsed is an issue and no source."""
    sources, issues = [], []
    for name in names:
        try:
            sources.append(Source(name, parse(base, name), parse(version, name)))
        except SyntaxError as error:
            issues.append(critical(name, f"The file does not compile: {error.msg}.", "Correct it.", error.lineno))
        except (ValueError, LookupError, RecursionError, MemoryError) as error:
            issues.append(critical(name, f"The file cannot be read as Python: {error}.", "Write plain UTF-8 code."))
    return sources, issues


def parse(root: Path, name: str) -> ast.Module:
    """Parse a file, never through a link. Raises SyntaxError, or ValueError for what isn't UTF-8."""
    file = root / name
    if not file.is_file() or not file.resolve().is_relative_to(root.resolve()) or file.is_symlink():
        return ast.Module([], [])
    content = file.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    if encoding not in ("utf-8", "utf-8-sig"):
        raise ValueError(f"it declares the encoding {encoding}, so what runs is not what is shown")
    return ast.parse(content.decode(encoding))


def lint_issues(names: Sequence[str], base: Path, version: Path) -> Iterator[Issue]:
    """The findings of ruff's error rules that the base does not have.

    Raises CircleError without ruff, and RecursionError for code that is nested too deeply for it.
    """
    known = Counter((name, code, message) for name, code, message, _ in _ruff(base, names))
    for name, code, message, line in _ruff(version, names):
        if known[name, code, message]:
            known[name, code, message] -= 1
            continue
        severity: Severity = "MINOR" if code in _UNTIDY else "CRITICAL"
        yield Issue(severity=severity, file=name, line=line, issue=f"{message} ({code}).", fix="Correct the line.")


def _ruff(root: Path, names: Sequence[str]) -> list[tuple[str, str, str, int]]:
    present = [name for name in names if (root / name).is_file() and not (root / name).is_symlink()]
    if not present:
        return []
    command = [sys.executable, "-m", "ruff", "check", *_RULES, "--", *present]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if "overflowed its stack" in done.stderr:
        raise RecursionError("ruff ran out of stack")
    if done.returncode:
        raise CircleError(f"ruff, which reviews patches, could not be run: {done.stderr.strip()[:300]}")
    return [
        (Path(found["filename"]).relative_to(root.resolve()).as_posix(), found["code"], found["message"], row)
        for found in json.loads(done.stdout)
        if found["code"] and found["code"].startswith("F") and (row := found["location"]["row"])
    ]
