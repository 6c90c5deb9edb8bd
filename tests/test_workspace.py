"""Git by plumbing: exact bytes, the same SHA again, and nothing obeyed that lies in a repository."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agents.errors import DiffRefused, TargetError
from agents.workspace import GitWorkspace
from tests.commands import diff_of, git


@pytest.fixture
def diff(plain: Path) -> str:
    """A diff that applies to the base."""
    return diff_of(plain, "settings.py", ("rate: float = 0.01", "rate: float = 0.02"))


def test_a_version_is_one_commit_with_the_diffs_sha(plain: Path, diff: str) -> None:
    workspace = GitWorkspace(plain)
    base = workspace.head()
    patch = workspace.commit_version("circle/s/v1", base, diff, "A rate\n\nWhy.")
    raw = workspace.diff(base, patch.commit)
    assert hashlib.sha256(raw).hexdigest() == patch.diff_sha256
    assert patch.files == ("settings.py",)
    assert git(plain, "rev-parse", "circle/s/v1").strip() == patch.commit
    assert git(plain, "log", "--format=%an %s", "-1", patch.commit).strip() == "Circle A rate"
    again = workspace.commit_version("circle/s/v1", base, diff, "A rate\n\nWhy.")
    assert again == patch, "done twice, it is the same commit"
    assert workspace.commit_version("circle/s/v2", base, "", "Flags alone").files == ()


@pytest.mark.parametrize("broken", ["not a diff", "--- a/none.py\n+++ b/none.py\n@@ -1 +1 @@\n-x\n+y\n"])
def test_a_diff_that_does_not_apply_is_refused_in_a_sentence(plain: Path, broken: str) -> None:
    workspace = GitWorkspace(plain)
    with pytest.raises(DiffRefused, match="does not apply"):
        workspace.commit_version("circle/s/v1", workspace.head(), broken, "Broken")
    assert git(plain, "branch", "--list", "circle/*") == ""


def test_a_persons_commit_on_a_branch_of_circles_is_not_lost(plain: Path, diff: str) -> None:
    """Circle's own may be replaced; theirs is told, and so is a branch that they have checked out."""
    workspace, branch = GitWorkspace(plain), "circle/s/v1"
    base = workspace.head()
    first = workspace.commit_version(branch, base, diff, "Code")
    theirs = git(plain, "commit-tree", f"{first.commit}^{{tree}}", "-p", first.commit, "-m", "Mine").strip()
    git(plain, "update-ref", f"refs/heads/{branch}", theirs)
    with pytest.raises(TargetError, match=f"did not make, {theirs[:12]}"):
        workspace.commit_documents(branch, first.commit, {"docs/a.md": "a"}, "Paper")
    assert git(plain, "rev-parse", branch).strip() == theirs
    git(plain, "update-ref", f"refs/heads/{branch}", first.commit)
    git(plain, "checkout", "-q", branch)
    with pytest.raises(TargetError, match="is checked out"):
        workspace.commit_documents(branch, first.commit, {"docs/a.md": "a"}, "Paper")
    git(plain, "checkout", "-q", "main")
    assert workspace.commit_version(branch, base, "", "Flags alone").commit == git(plain, "rev-parse", branch).strip()


def test_documents_stack_above_the_code(plain: Path, diff: str) -> None:
    workspace = GitWorkspace(plain)
    patch = workspace.commit_version("circle/s/v1", workspace.head(), diff, "Code")
    files = {"docs/a.md": "é\n", "docs/b.md": "b\n"}
    tip = workspace.commit_documents("circle/s/v1", patch.commit, files, "Paper")
    assert workspace.read(tip, "docs/a.md") == "é\n" and workspace.read(tip, "docs/none.md") is None
    assert git(plain, "rev-parse", f"{tip}^").strip() == patch.commit
    assert (
        workspace.commit_documents("circle/s/v1", patch.commit, {"docs/a.md": "é\n", "docs/b.md": "b\n"}, "Paper")
        == tip
    )


def test_an_export_has_the_files_and_no_git(plain: Path) -> None:
    workspace = GitWorkspace(plain)
    folder = workspace.export(workspace.head())
    assert (folder / "model.py").read_text() == (plain / "model.py").read_text()
    assert not (folder / ".git").exists() and workspace.export(workspace.head()) == folder


def test_a_restored_tree_is_the_bases_but_for_what_may_be_edited(plain: Path, tmp_path: Path) -> None:
    """A file that may be edited can be changed, added or gone; a link is not followed, nor is it there."""
    workspace = GitWorkspace(plain)
    base = workspace.head()
    names = ("settings.py", "train.py", "new.py", "é.py", "other.txt")
    for name in names:
        (plain / name).write_text("x = 1\n")
    (plain / "model.py").unlink()
    (plain / "evaluate.py").unlink()
    (plain / "link.py").symlink_to("/etc/passwd")
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "All at once")
    commit = workspace.head()
    editable = {"settings.py", "new.py", "é.py", "model.py", "link.py"}
    workspace.restore(commit, base, editable.__contains__, tmp_path / "tree")
    tree = {file.name: file.read_text() for file in (tmp_path / "tree").iterdir()}
    assert tree.keys() == {"circle.toml", "evaluate.py", "settings.py", "train.py", "new.py", "é.py"}
    assert tree["settings.py"] == tree["new.py"] == tree["é.py"] == "x = 1\n"
    for name in ("evaluate.py", "train.py", "circle.toml"):
        assert tree[name] == git(plain, "show", f"{base}:{name}")
    workspace.restore(base, base, editable.__contains__, tmp_path / "base")
    assert (tmp_path / "base" / "model.py").read_text() == git(plain, "show", f"{base}:model.py")


def test_the_tree_hash_is_of_the_named_paths_alone(plain: Path, diff: str) -> None:
    workspace = GitWorkspace(plain)
    base = workspace.head()
    changed = workspace.commit_version("circle/s/v1", base, diff, "Code").commit
    assert workspace.tree_sha256(base, ["model.py"]) == workspace.tree_sha256(changed, ["model.py"])
    assert workspace.tree_sha256(base, ["settings.py"]) != workspace.tree_sha256(changed, ["settings.py"])


def test_hooks_and_external_diffs_of_the_repository_are_not_run(plain: Path, diff: str, tmp_path: Path) -> None:
    """A repository's own configuration and hooks execute nothing."""
    trap, sprung = tmp_path / "trap.sh", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    hooks = plain / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "post-commit", "reference-transaction", "post-checkout"):
        (hooks / name).symlink_to(trap)
    git(plain, "config", "diff.external", str(trap))
    git(plain, "config", "core.fsmonitor", str(trap))
    sprung.unlink(missing_ok=True)
    workspace = GitWorkspace(plain)
    patch = workspace.commit_version("circle/s/v1", workspace.head(), diff, "Code")
    workspace.diff(workspace.head(), patch.commit)
    workspace.commit_documents("circle/s/v1", patch.commit, {"a.md": "a\n"}, "Paper")
    assert not sprung.exists()


def test_folders_that_cannot_be_used_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="not a git repository"):
        GitWorkspace(tmp_path).head()
    git(tmp_path, "init", "-q")
    with pytest.raises(TargetError, match="no commit yet"):
        GitWorkspace(tmp_path).head()


def test_circles_own_folder_is_kept_out_of_sight(plain: Path) -> None:
    (plain / ".circle").mkdir()
    (plain / ".circle" / "x").write_text("x")
    workspace = GitWorkspace(plain)
    workspace.exclude("/.circle/")
    workspace.exclude("/.circle/")
    assert git(plain, "status", "--porcelain") == ""
    assert (plain / ".git" / "info" / "exclude").read_text().count("/.circle/") == 1


def test_a_victory_is_merged_on_request(plain: Path, diff: str) -> None:
    workspace = GitWorkspace(plain)
    patch = workspace.commit_version("circle/s/v1", workspace.head(), diff, "Code")
    merged = workspace.merge("circle/s/v1")
    assert git(plain, "merge-base", "--is-ancestor", patch.commit, merged) == ""
    assert "0.02" in (plain / "settings.py").read_text()
    (plain / "settings.py").write_text("changed = 1\n")
    with pytest.raises(TargetError, match="could not be merged"):
        workspace.merge("no-such-branch")
