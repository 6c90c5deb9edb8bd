"""What a patch may touch: the names, modes and characters of a diff, whatever its code says."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from agents.records import Issue
from agents.review.diff import FileDiff
from agents.settings import Target

_HOOKS = {"sitecustomize.py", "usercustomize.py", "conftest.py", ".gitattributes", ".gitmodules", ".envrc"}
_UNSEEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
}  # controls, bidi and zero-width marks, surrogates, separators


def path_issues(files: list[FileDiff], base: Path, version: Path, target: Target) -> Iterator[Issue]:
    """All that is wrong with a diff's files before their contents are read as code."""
    before, after = list_files(base), list_files(version)
    for file in files:
        for name in sorted(file.names):
            yield from _name_issues(name, target)
        if not file.names:
            yield critical(
                "the diff", "A header of the diff names no file that can be read.", "Rename the file plainly."
            )
        yield from _mode_issues(file)
        yield from _character_issues(file)
    yield from _collisions(before, after)
    yield from _shadows(before, after)


def list_files(root: Path) -> set[str]:
    """The paths below root of all files and links; links are not followed."""
    return {
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, folders, names in os.walk(root)
        for name in (*names, *(f for f in folders if (Path(folder) / f).is_symlink()))
    }


def critical(file: str, issue: str, fix: str, line: int | None = None) -> Issue:
    """An issue that fails the review."""
    return Issue(severity="CRITICAL", file=shown(file), line=line, issue=issue, fix=fix)


def shown(name: str) -> str:
    """A name as it may be displayed: what cannot be seen is escaped."""
    return name.encode("unicode_escape", "surrogatepass").decode() if unseen(name) else name


def unseen(text: str) -> list[str]:
    """The characters of a text that a person cannot see, as U+XXXX; a tab is seen."""
    return [f"U+{ord(c):04X}" for c in text if c != "\t" and unicodedata.category(c) in _UNSEEN]


def _name_issues(name: str, target: Target) -> Iterator[Issue]:
    path = PurePosixPath(name)
    if marks := unseen(name):
        yield critical(name, f"The file's name holds {marks[0]}, which cannot be seen.", "Use plain characters.")
    if path.is_absolute() or any(part.casefold() in (".", "..", ".git") for part in name.split("/")):
        yield critical(name, "The name leads out of the tree or into git's own files.", "Keep to the editable files.")
    if path.name.casefold() in _HOOKS or path.suffix.casefold() == ".pth":
        yield critical(name, "A file of this name changes how Python or git starts.", "Leave it out.")
    if not target.editable(name):
        allowed = ", ".join(target.paths.editable)
        yield critical(name, "The patch touches a file that it may not edit.", f"Edit only {allowed}.")


def _mode_issues(file: FileDiff) -> Iterator[Issue]:
    name = min(file.names, default="the diff")
    for header in file.headers:
        if header.startswith(("GIT binary patch", "Binary files ")):
            yield critical(name, "The file is binary, so nobody can review it.", "Write text.")
        elif header.startswith(("new file mode", "deleted file mode", "old mode", "new mode", "index ")):
            mode = header.rsplit(" ", 1)[1]
            if mode in ("120000", "160000"):
                yield critical(name, "The patch touches a symbolic link or a submodule.", "Use a plain file.")
            elif header.startswith("new mode") or header == "new file mode 100755":
                yield critical(name, f"The patch sets the file's mode to {mode}.", "Leave modes as they are.")


def _character_issues(file: FileDiff) -> Iterator[Issue]:
    for number, line in file.added:
        if marks := unseen(line.removesuffix("\r")):
            what = f"The line holds {marks[0]}, which cannot be seen or reorders what is."
            yield critical(min(file.names, default="the diff"), what, "Write it as an escape, or leave it out.", number)


def _collisions(before: set[str], after: set[str]) -> Iterator[Issue]:
    """New names that a case-folding or normalising file system would take for another's."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for name in after:
        for part in (name, *map(str, PurePosixPath(name).parents)):
            spellings[unicodedata.normalize("NFC", part).casefold()].add(part)
    clashing = {part for same in spellings.values() if len(same) > 1 for part in same}
    for name in sorted(after - before):
        if {name, *map(str, PurePosixPath(name).parents)} & clashing:
            yield critical(
                name, "The name differs from another only by case or by Unicode form.", "Choose another name."
            )


def _shadows(before: set[str], after: set[str]) -> Iterator[Issue]:
    """New packages that Python would import in place of a module: x/__init__.py goes before x.py."""
    for name in sorted(after - before):
        for folder in PurePosixPath(name).parents:
            if f"{folder}.py" in before:
                yield critical(name, f"The folder would be imported in place of {folder}.py.", "Choose another name.")
