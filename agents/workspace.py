"""The target's git: versions and documents become commits without a checkout being touched.

Everything is plumbing on a temporary index: read-tree, apply --cached, write-tree, commit-tree, update-ref.
HEAD, the index, the work tree and the stashes of the person's checkout are never read for writing. Commits
carry a fixed identity and a date derived from their parent, so that the same step gives the same SHA again.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from agents.crashpoint import crashpoint
from agents.errors import DiffRefused, TargetError
from agents.ports import Text
from agents.records import Patch

if TYPE_CHECKING:
    from git import Repo

_PLAIN = (b"100644", b"100755", b"000000")  # a file, one that may be executed, one that is gone
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Circle",
    "GIT_AUTHOR_EMAIL": "circle@localhost",
    "GIT_COMMITTER_NAME": "Circle",
    "GIT_COMMITTER_EMAIL": "circle@localhost",
}
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.pager": "cat",
    "commit.gpgSign": "false",
    "protocol.allow": "never",
    "diff.renames": "false",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "core.quotePath": "true",
    "apply.whitespace": "nowarn",
}


def safe_environment(root: Path) -> dict[str, str]:
    """Return variables that keep git from running or obeying anything of the person's or the repo's configuration."""
    config = _CONFIG | {"safe.directory": str(root)}
    environment = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(config)),
        "LC_ALL": "C",
    }
    for number, (key, value) in enumerate(config.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


class GitWorkspace:
    """The one wrapper around a target's repository."""

    def __init__(self, root: Path, trees: Path | None = None) -> None:
        self.root = root
        self._trees = trees or root / ".circle" / "trees"

    def commit_version(self, branch: str, base: str, diff: str, message: str) -> Patch:
        """Commit a diff on the base as the branch's one code commit.

        The branch is made, or moved when an earlier attempt of the same version was sent back.

        Raises:
            DiffRefused: the diff does not apply to the exact base commit.
        """
        with self._repo() as repo, self._index(repo, base):
            if diff.strip():
                _apply(repo, diff)
            commit = _commit(repo, base, message)
            _point(repo, branch, commit)
            files = repo.git.diff("--name-only", base, commit).splitlines()
        return Patch(
            branch=branch,
            commit=commit,
            diff_sha256=hashlib.sha256(self.diff(base, commit)).hexdigest(),
            files=tuple(files),
            summary=message.splitlines()[0],
        )

    def commit_folder(self, base: str, folder: Path, editable: Callable[[str], bool]) -> str:
        """Commit the editable files of a folder on the base, on no branch; the same files give the same SHA."""
        found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if _is_plain(file)}
        with self._repo() as repo, self._index(repo, base):
            known = repo.git.ls_files("-z").split("\0")
            gone = [path for path in known if path and path not in found and editable(path)]
            if gone:
                repo.git.update_index("--force-remove", "--", *gone)
            for path in filter(editable, sorted(found)):
                blob = repo.git.hash_object("-w", "--no-filters", "--", str(found[path]))
                mode = "100755" if found[path].stat().st_mode & 0o100 else "100644"
                repo.git.update_index("--add", "--cacheinfo", f"{mode},{blob},{path}")
            return _commit(repo, base, "A draft")

    def check(self, base: str, diff: str) -> None:
        """Raise DiffRefused unless the diff applies to the exact base commit."""
        with self._repo() as repo, self._index(repo, base):
            if diff.strip():
                _apply(repo, diff)

    def redrawn(self, base: str, diff: str) -> bytes:
        """Return a diff as git draws it; where its hunks do not count their lines rightly, they are counted anew.

        Raises:
            DiffRefused: it does not apply to the exact base commit.
        """
        with self._repo() as repo, self._index(repo, base):
            try:
                _apply(repo, diff)
            except DiffRefused:
                _apply(repo, diff, "--recount")
            tree = repo.git.write_tree()
        return self.diff(base, tree)

    def carry(self, diff: str, origin: str, base: str, both: Callable[[str], bool]) -> str:
        """Return the diff that makes on `base` the change that this one makes on `origin`, an ancestor of it.

        One that applies as it is stays as it is; otherwise files are merged as `join` does.

        Raises:
            DiffRefused: it applies to neither, or what lies between changes the same lines.
        """
        try:
            self.check(base, diff)
        except DiffRefused:
            if origin == base:
                raise
        else:
            return diff
        with self._repo() as repo:
            with self._index(repo, origin):
                _apply(repo, diff)
                changed = repo.git.write_tree()
            with self._index(repo, base):
                _take(repo, origin, changed, both)
                carried = repo.git.write_tree()
        return self.diff(base, carried).decode(errors="surrogateescape")

    def join(self, base: str, commits: Sequence[str], both: Callable[[str], bool]) -> str:
        """Return the diff that makes all changes of these commits on their common base.

        Lines that two of them add at the same place of a file that `both` names are all kept, in order.

        Raises:
            DiffRefused: two of them change the same lines; it names the file.
        """
        with self._repo() as repo, self._index(repo, base):
            for commit in commits:
                _take(repo, base, commit, both)
            joined = repo.git.write_tree()
        return self.diff(base, joined).decode(errors="surrogateescape")

    def keep(self, branch: str, commit: str) -> None:
        """Point a branch at a commit, so that what was sent back stays to be read."""
        with self._repo() as repo:
            _point(repo, branch, commit)

    def commit_documents(self, branch: str, after: str, files: Mapping[str, Text], message: str) -> str:
        """Commit texts, or what gives them, on the commit `after`, move the branch there, and return the new commit.

        `after` is named by the caller, not read from the branch: done twice, it is the same commit.
        """
        with self._repo() as repo, self._index(repo, after):
            for path, text in sorted(files.items()):
                with _stream((text if isinstance(text, str) else text()).encode()) as stream:
                    blob = repo.git.hash_object("-w", "--stdin", istream=stream)
                repo.git.update_index("--add", "--cacheinfo", f"100644,{blob},{path}")
            commit = _commit(repo, after, message)
            _point(repo, branch, commit)
        return commit

    def diff(self, base: str, commit: str) -> bytes:
        """Return the exact bytes of base..commit."""
        with self._repo() as repo:
            return _bytes(repo, "diff", "--no-ext-diff", "--no-textconv", "--binary", "--full-index", base, commit)

    def read(self, commit: str, path: str) -> str | None:
        """Return a text file at a commit, or None if there is none."""
        with self._repo() as repo:
            if not repo.git.ls_tree(commit, "--", path):
                return None
            return _bytes(repo, "cat-file", "blob", f"{commit}:{path}").decode(errors="replace")

    def has(self, commit: str) -> bool:
        """Whether a commit is in the repository."""
        with self._repo() as repo:
            return bool(repo.git.rev_parse("--verify", "--quiet", f"{commit}^{{commit}}", with_exceptions=False))

    def tip(self, branch: str) -> str:
        """Return the commit that a branch points to, "" if there is no such branch."""
        with self._repo() as repo:
            return str(repo.git.for_each_ref("--format=%(objectname)", f"refs/heads/{branch}"))

    def files(self, commit: str) -> list[str]:
        """Return the paths of all files of a commit."""
        with self._repo() as repo:
            listing = _bytes(repo, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
        return [os.fsdecode(path) for path in listing.split(b"\0") if path]

    def tree_sha256(self, commit: str, paths: Sequence[str]) -> str:
        """Return a hash over names, modes and contents of the files under these paths."""
        with self._repo() as repo:
            listing = _bytes(repo, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths)
        return hashlib.sha256(listing).hexdigest()

    def export(self, commit: str) -> Path:
        """Return a folder with the files of a commit and no .git; it is made once."""
        folder = self._trees / commit
        if folder.is_dir():
            return folder
        self._trees.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._trees) as temporary:
            with self._repo() as repo:
                _write_files(repo, commit, Path(temporary) / "tree")
            try:
                (Path(temporary) / "tree").rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        return folder

    def restore(self, commit: str, base: str, editable: Callable[[str], bool], folder: Path) -> None:
        """Write to `folder` the files of `base`, those that may be edited as they are in `commit`, and no .git.

        A link or a submodule that is new in the commit is not in it, whatever its name.
        """
        with self._repo() as repo, self._index(repo, base):
            changes = b"".join(
                b"%s %s\t%s\0" % (mode, blob, path)
                for mode, blob, path in _changes(repo, base, commit)
                if editable(os.fsdecode(path)) and mode in _PLAIN
            )
            with _stream(changes) as stream:
                repo.git.update_index("-z", "--index-info", istream=stream)
            _write_files(repo, repo.git.write_tree(), folder)

    def head(self) -> str:
        """Return the commit that the person's checkout stands on; raise TargetError if there is none yet."""
        with self._repo() as repo:
            commit = repo.git.rev_parse("--verify", "--quiet", "HEAD^{commit}", with_exceptions=False)
        if not commit:
            raise TargetError(
                f"{self.root} has no commit yet: commit the training code first, so that there is a base."
            )
        return str(commit)

    def merge(self, branch: str) -> str:
        """Merge a branch into the checkout's current branch, as `git merge --no-ff` does, and return the commit."""
        from git.exc import GitCommandError

        with self._repo() as repo:
            try:
                with repo.git.custom_environment(**_IDENTITY):
                    repo.git.merge("--no-ff", "--no-edit", branch)
            except GitCommandError as error:
                raise TargetError(f"{branch} could not be merged: {_why(error)}") from error
            return str(repo.git.rev_parse("HEAD"))

    def exclude(self, pattern: str) -> None:
        """Keep a pattern out of the person's `git status` by the repository's own exclude file."""
        with self._repo() as repo:
            file = Path(repo.git.rev_parse("--git-path", "info/exclude"))
        file = file if file.is_absolute() else self.root / file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        if pattern not in lines:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join([*lines, pattern, ""]), encoding="utf-8")

    @contextmanager
    def _repo(self) -> Iterator[Repo]:
        try:
            from git import InvalidGitRepositoryError, NoSuchPathError, Repo
            from git.exc import GitCommandError, GitCommandNotFound
        except ImportError as error:
            raise TargetError("Git cannot be used: install the git program and put it on the PATH.") from error
        try:
            with Repo(self.root) as repo:
                repo.git.update_environment(**safe_environment(self.root))
                yield repo
        except (InvalidGitRepositoryError, NoSuchPathError):
            raise TargetError(f"{self.root} is not a git repository: run git init and commit there first.") from None
        except GitCommandNotFound as error:
            raise TargetError("Git cannot be used: install the git program and put it on the PATH.") from error
        except GitCommandError as error:
            raise TargetError(
                f"git {error.command[1] if len(error.command) > 1 else ''} failed: {_why(error)}"
            ) from error

    @contextmanager
    def _index(self, repo: Repo, commit: str) -> Iterator[None]:
        with (
            tempfile.TemporaryDirectory() as folder,
            repo.git.custom_environment(GIT_INDEX_FILE=str(Path(folder) / "index")),
        ):
            repo.git.read_tree(commit)
            yield


def _is_plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _apply(repo: Repo, diff: str, *options: str) -> None:
    from git.exc import GitCommandError

    text = diff if diff.endswith("\n") else diff + "\n"
    try:
        with _stream(text.encode()) as stream:
            repo.git.apply("--cached", "--whitespace=nowarn", *options, "-", istream=stream)
    except GitCommandError as error:
        raise DiffRefused(f"The diff does not apply to the base commit: {_why(error)}") from error


def _point(repo: Repo, branch: str, commit: str) -> None:
    """Move one of Circle's branches; raise TargetError where that would take something from a person."""
    ref = f"refs/heads/{branch}"
    tip = repo.git.rev_parse("--verify", "--quiet", ref, with_exceptions=False)
    lost = repo.git.log("--format=%ce", f"{commit}..{tip}").split() if tip else []
    if set(lost) - {_IDENTITY["GIT_COMMITTER_EMAIL"]}:
        raise TargetError(
            f"{branch} has a commit that Circle did not make, {tip[:12]}: put that on a branch of its own, and delete "
            "this one."
        )
    if repo.git.symbolic_ref("--quiet", "HEAD", with_exceptions=False) == ref:
        raise TargetError(f"{branch} is checked out, and Circle is to add to it: switch to another branch first.")
    crashpoint("ref before")
    repo.git.update_ref(ref, commit)
    crashpoint("ref moved")


def _commit(repo: Repo, parent: str, message: str) -> str:
    tree = repo.git.write_tree()
    date = f"{int(repo.git.show('-s', '--format=%ct', parent)) + 1} +0000"
    with repo.git.custom_environment(GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date, **_IDENTITY):
        return str(repo.git.commit_tree(tree, "-p", parent, "-m", message))


def _changes(repo: Repo, base: str, commit: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The mode, the object and the path of each file that is different in the commit; mode 0 for one that is gone."""
    words = iter(_bytes(repo, "diff-tree", "-r", "-z", "--no-renames", base, commit).split(b"\0"))
    for about, path in zip(words, words, strict=False):
        _, mode, _, blob, _ = about.split()
        yield mode, blob, path


def _take(repo: Repo, base: str, tree: str, both: Callable[[str], bool]) -> None:
    """Put into the index what a tree changes of the base."""
    for mode, blob, path in _changes(repo, base, tree):
        merged = _merged(repo, base, os.fsdecode(path), mode, blob, both(os.fsdecode(path)))
        with _stream(merged) as stream:
            repo.git.update_index("-z", "--index-info", istream=stream)


def _merged(repo: Repo, base: str, path: str, mode: bytes, theirs: bytes, union: bool) -> bytes:
    """Return the index's new line for a path: their blob, or a three-way merge where ours has changed, too."""
    old, ours = repo.git.ls_tree(base, "--", path).split(), repo.git.ls_files("--stage", "--", path).split()
    before, now = old[2] if old else None, ours[1] if ours else None
    if now == theirs.decode():
        return b"%s %s\t%s\0" % (mode, theirs, os.fsencode(path))
    if now != before:
        if before is None or now is None or mode == b"000000":
            raise DiffRefused(f"{path}: both make or remove this file.")
        theirs = _three_way(repo, path, now, before, theirs.decode(), union)
    return b"%s %s\t%s\0" % (mode, theirs, os.fsencode(path))


def _three_way(repo: Repo, path: str, ours: str, before: str, theirs: str, union: bool) -> bytes:
    from git.exc import GitCommandError

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("ours", "before", "theirs")]
        for file, blob in zip(files, (ours, before, theirs), strict=True):
            file.write_bytes(_bytes(repo, "cat-file", "blob", blob))
        try:
            repo.git.merge_file("--quiet", *(["--union"] if union else []), *map(str, files))
        except GitCommandError as error:
            raise DiffRefused(f"{path}: both change the same lines.") from error
        return str(repo.git.hash_object("-w", str(files[0]))).encode()


def _write_files(repo: Repo, tree: str, folder: Path) -> None:
    with tarfile.open(fileobj=BytesIO(_bytes(repo, "archive", "--format=tar", tree))) as tar:
        try:
            tar.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise TargetError(f"The commit has a file that cannot be written here: {error}.") from error


def _bytes(repo: Repo, command: str, *arguments: str) -> bytes:
    output: Any = repo.git.execute(["git", command, *arguments], stdout_as_string=False, strip_newline_in_stdout=False)
    return bytes(output)


@contextmanager
def _stream(content: bytes) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        stream.seek(0)
        yield stream


def _why(error: Any) -> str:
    text = str(error.stderr or error.stdout or error).strip()
    lines = [line.strip() for line in text.removeprefix("stderr: '").rstrip("'").splitlines() if line.strip()]
    return (lines[0] if lines else "git gave no reason").rstrip(".") + "."
