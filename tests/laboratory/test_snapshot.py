"""A folder as it was: whatever changes in it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.laboratory.snapshot import Snapshot

CHANGES: dict[str, Callable[[Path], object]] = {
    "code/a.py": lambda path: path.write_text("b"),
    "code/new.py": lambda path: path.write_text(""),
    "code/b.py": Path.unlink,
    "tool": lambda path: path.chmod(0o644),
    "link": lambda path: (path.unlink(), path.symlink_to("tool")),
    "pipe": os.mkfifo,
    "folder": lambda path: path.symlink_to("code"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named(tmp_path: Path, name: str) -> None:
    """Of content, of kind, of the right to run it, a file that is new or gone."""
    (tmp_path / "code").mkdir()
    for file in ("code/a.py", "code/b.py", "tool"):
        (tmp_path / file).write_text("a")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "link").symlink_to("code/a.py")
    before = Snapshot.of(tmp_path)
    (tmp_path / "code" / "a.py").write_text("a")
    assert before.changed() == ""
    CHANGES[name](tmp_path / name)
    assert before.changed() == name
