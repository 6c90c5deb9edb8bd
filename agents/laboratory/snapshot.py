"""A folder as it was, file by file, so that a change to it is seen."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """A folder, and a digest of the kind and content of each of its files and links, by its path in it."""

    folder: Path
    files: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> Snapshot:
        """Take note of a folder as it is; raise OSError if it cannot be read."""
        return cls(folder, _digests(folder))

    def changed(self) -> str:
        """Return the first path that is new, gone or different, or "" while all is as it was."""
        now = _digests(self.folder)
        different = (path for path in self.files.keys() | now.keys() if self.files.get(path) != now.get(path))
        return min(different, default="")


def _digests(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, folders, files in os.walk(folder):
        for name in [*files, *(name for name in folders if (Path(place) / name).is_symlink())]:
            path = Path(place) / name
            found[str(path.relative_to(folder))] = _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if not path.is_file():
        return "special"
    executable = bool(path.stat().st_mode & 0o100)
    return f"{executable} {hashlib.sha256(path.read_bytes()).hexdigest()}"
