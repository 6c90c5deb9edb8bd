"""The code that runs see: the base commit's files, and the version's wherever a patch may edit.

The review refuses a diff that touches anything else, and the sandbox shows the tree read-only. This is the layer
behind both, and the only one without a sandbox: what measures comes from the base commit whatever the version holds,
and a tree that changed while a run had it is not used again.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.errors import LaboratoryError
from agents.laboratory.snapshot import Snapshot
from agents.ports import Workspace
from agents.settings import Target


@dataclass
class Trees:
    """The trees of one session's commits, each written once below `folder`, and anew if it was changed.

    `links` are folders of data that git does not know, by their paths in a tree.
    """

    workspace: Workspace
    target: Target
    base: str
    folder: Path
    links: Mapping[str, Path] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, Snapshot] = field(default_factory=dict)

    def of(self, commit: str) -> Snapshot:
        """Return the tree of a commit's runs as it has been since it was written, and no .git in it."""
        with self._lock:
            tree = self._known.get(commit)
            if tree is None or tree.changed():
                tree = self._known[commit] = self._write(commit, commit[:12])
            return tree

    def own(self, commit: str, run: str, file: str, rewritten: Callable[[str], str]) -> Snapshot:
        """Return the tree of one run, in which a file is as `rewritten` makes it of the commit's."""
        with self._lock:
            return self._write(commit, f"{commit[:12]}-{run}", lambda tree: _rewrite(tree / file, rewritten))

    def remove_own(self, tree: Path) -> None:
        """Remove the tree of a run that has been measured."""
        shutil.rmtree(tree, ignore_errors=True)

    def remove(self) -> None:
        """Remove all of them."""
        with self._lock:
            self._known.clear()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, commit: str, name: str, finish: Callable[[Path], None] | None = None) -> Snapshot:
        """Put a commit's tree in its place; one that is there stays, for a run may be at work in it.

        If it was changed, it keeps its place, and the tree has another.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.folder) as scratch:
            written = Path(scratch) / "tree"
            self.workspace.restore(commit, self.base, self.target.editable, written)
            for name, place in self.links.items():
                (written / name).parent.mkdir(parents=True, exist_ok=True)
                (written / name).symlink_to(place, target_is_directory=True)
            if finish:
                finish(written)
            files = Snapshot.of(written).files
            for number in itertools.count(1):
                tree = Snapshot(self.folder / f"{number}-{name}", files)
                if not tree.folder.exists():
                    written.rename(tree.folder)
                if not tree.changed():
                    return tree
        raise AssertionError("there is always another number")


def _rewrite(file: Path, rewritten: Callable[[str], str]) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LaboratoryError(f"The flags cannot be set in {file.name}, where they are declared: {error}.") from error
    file.write_text(rewritten(text), encoding="utf-8")
