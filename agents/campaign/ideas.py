"""The queue of a campaign: ideas in words, and a person's own diffs, from a file or from the researcher.

A text file has an idea a line, and `#` before what is none. A TOML or JSON file has a list `ideas`, whose entries have
`idea` in words, or `flags` as `circle judge` takes them, with a `patch` (a file beside this one), a `title` and
`ablations` where they are wanted.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agents.brought import plan_of
from agents.errors import DiffRefused, UsageError
from agents.ports import Researcher
from agents.records import Record, Tried

if TYPE_CHECKING:
    from agents.session import Home


class Entry(Record):
    """An idea of the queue: words for the researcher; with `flags` it is a person's own diff, which may be empty."""

    text: str
    flags: str = ""
    diff: str = ""
    ablations: tuple[str, ...] = ()


class _Written(Record):
    idea: str = ""
    title: str = ""
    flags: str = ""
    patch: str = ""
    ablations: tuple[str, ...] = ()


def read_ideas(file: Path) -> tuple[Entry, ...]:
    """Return the ideas of a file; raise UsageError with a sentence that names the entry that cannot be used."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The ideas {file} cannot be read: {error}.") from error
    if file.suffix.lower() in (".toml", ".json"):
        entries = [_entry(file, number, item) for number, item in enumerate(_listed(file, text), 1)]
    else:
        lines = (line.strip() for line in text.splitlines())
        entries = [Entry(text=line) for line in lines if line and not line.startswith("#")]
    if not entries:
        raise UsageError(f"The ideas {file} hold no idea: write one a line.")
    return tuple(entries)


def own_ideas(researcher: Researcher, tried: tuple[Tried, ...]) -> tuple[Entry, ...]:
    """Return what the researcher would try by itself, but for what failed before."""
    found = researcher.ideas(tried)
    if not found:
        raise UsageError("The researcher has no idea left that was not tried on this code: --ideas FILE brings others.")
    return tuple(Entry(text=idea.text) for idea in found)


def check(entries: tuple[Entry, ...], home: Home, researcher: Researcher, base: str) -> None:
    """Raise UsageError for the first idea that could not be started on this commit, whatever was tried before."""
    for number, entry in enumerate(entries, 1):
        try:
            if entry.flags:
                plan_of(home, entry.diff, entry.flags, entry.text, entry.ablations, base)
                home.workspace.check(base, entry.diff)
            else:
                researcher.idea(entry.text, ())
        except (UsageError, DiffRefused) as error:
            raise UsageError(f"Idea {number} ({entry.text}): {error}") from error


def _listed(file: Path, text: str) -> list[Any]:
    try:
        document = tomllib.loads(text) if file.suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise UsageError(f"The ideas {file} are not valid {file.suffix[1:].upper()}: {error}.") from error
    found = document.get("ideas") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise UsageError(f"The ideas {file} have no list `ideas`.")
    return found


def _entry(file: Path, number: int, item: Any) -> Entry:
    try:
        written = _Written.model_validate({"idea": item} if isinstance(item, str) else item)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        told = f"{where or 'the entry'}: {first['msg'].lower()}; an idea may have {', '.join(_Written.model_fields)}"
        raise UsageError(f"Idea {number} of {file}: {told}.") from error
    if bool(written.idea) == bool(written.flags):
        raise UsageError(f"Idea {number} of {file} needs either `idea`, in words, or `flags`, for a diff of your own.")
    if written.idea and (written.patch or written.ablations):
        raise UsageError(f"Idea {number} of {file} has a patch without the flags that turn it on.")
    diff = _diff(file.parent / written.patch, f"Idea {number} of {file}") if written.patch else ""
    text = written.idea or written.title or written.flags
    return Entry(text=text, flags=written.flags, diff=diff, ablations=written.ablations)


def _diff(patch: Path, where: str) -> str:
    try:
        return patch.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: the diff {patch} cannot be read: {error}.") from error
