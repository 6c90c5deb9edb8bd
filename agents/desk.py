"""Where a version's code is written: a copy of the base commit without .git, of which only editable files change.

The path is checked here, at the tool, and once more by the review of the diff. What is written leaves as a diff.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from agents.errors import EditRefused
from agents.plain_text import excerpt
from agents.ports import Laboratory, Order
from agents.records import Plan, Run
from agents.settings import Target
from agents.workspace import GitWorkspace

_LARGEST_FILE = 400_000
"""Bytes of a file that can be read or written: no code is longer, and no model should read what is."""


@dataclass(frozen=True)
class FolderDesk:
    """A desk in `folder`, which is made anew: the files of `base`, the editable ones as they are in `start`."""

    folder: Path
    base: str
    target: Target
    workspace: GitWorkspace
    laboratory: Laboratory
    plan: Plan | None
    short: Order | None

    @classmethod
    def laid(
        cls,
        folder: Path,
        base: str,
        start: str,
        target: Target,
        workspace: GitWorkspace,
        laboratory: Laboratory,
        plan: Plan | None,
        short: Order | None,
    ) -> FolderDesk:
        """Write the files and return the desk."""
        shutil.rmtree(folder, ignore_errors=True)
        workspace.restore(start, base, target.editable, folder)
        return cls(folder, base, target, workspace, laboratory, plan, short)

    def files(self) -> tuple[str, ...]:
        """Return the paths of all plain files."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return tuple(sorted(path.relative_to(self.folder).as_posix() for path in found))

    def editable(self, path: str) -> bool:
        """Whether a file of that name may be written."""
        return self.target.editable(path)

    def read(self, path: str) -> str:
        """Return a file's text; raise EditRefused if there is none that can be read."""
        try:
            content = self._place(path).read_bytes()
            if len(content) > _LARGEST_FILE or b"\0" in content:
                raise EditRefused(f"{path} is no text of at most {_LARGEST_FILE:,} bytes.")
            return content.decode()
        except OSError as error:
            raise EditRefused(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeError as error:
            raise EditRefused(f"{path!r} is no text in UTF-8.") from error

    def write(self, path: str, text: str) -> None:
        """Write a whole file; raise EditRefused if the path may not be edited."""
        if not self.editable(path):
            allowed = ", ".join(self.target.paths.editable)
            raise EditRefused(f"{path} may not be edited. A patch may touch {allowed}, and no protected file.")
        try:
            place, content = self._place(path), text.encode()
            if len(content) > _LARGEST_FILE:
                raise EditRefused(f"{path} would be longer than {_LARGEST_FILE:,} bytes.")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except (OSError, UnicodeError) as error:
            raise EditRefused(f"{path!r} cannot be written: {error}.") from error

    def diff(self) -> str:
        """Return what was changed, as a unified diff against the base commit."""
        return self.workspace.diff(self.base, self._commit()).decode(errors="surrogateescape")

    def check(self) -> str:
        """Say what the mechanical review finds, and how a run of a few steps in the sandbox ends, if there is one."""
        from agents.review import mechanical_issues

        if self.plan is None:
            raise EditRefused("There is no plan that this could be checked against.")
        commit = self._commit()
        issues = mechanical_issues(
            base=self.workspace.export(self.base),
            version=self.folder,
            diff=self.workspace.diff(self.base, commit),
            plan=self.plan,
            target=self.target,
        )
        said = [f"{issue.severity} {issue.file}:{issue.line or ''} {issue.issue} {issue.fix}" for issue in issues]
        review = "\n".join(["The mechanical review:", *(said or ["passes without a remark."])])
        if any(issue.severity == "CRITICAL" for issue in issues):
            return f"{review}\nNothing was run."
        if self.short is None:
            return f"{review}\nNothing is run without a sandbox before a person has read it."
        (run,) = self.laboratory.run([replace(self.short, commit=commit)])
        return f"{review}\n{_told(run)}\n{excerpt(self.laboratory.excerpt(run))}"

    def _commit(self) -> str:
        return self.workspace.commit_folder(self.base, self.folder, self.editable)

    def _place(self, path: str) -> Path:
        """The file of that name, if the name leads nowhere else."""
        name = PurePosixPath(path)
        place = self.folder / name
        if name.is_absolute() or ".." in name.parts or not name.parts or "\0" in path:
            raise EditRefused(f"{path!r} is no path below the repository's root.")
        parts = [self.folder.joinpath(*name.parts[:depth]) for depth in range(1, len(name.parts) + 1)]
        if place.is_dir() or any(part.is_symlink() for part in parts):
            raise EditRefused(f"{path} is no plain file.")
        return place


def _told(run: Run) -> str:
    """How a short run ended, in a sentence."""
    losses = ", ".join(f"{loss:.4f}" for loss in run.losses[-3:])
    ending = f"ended well after {run.steps} steps" if run.status == "done" else f"failed: {run.error}"
    return f"A short run with the flags on {ending}{f', last losses {losses}' if losses else ''}. Its log:"
