"""What travels between machines: folders that arrive as they were sent, scratch folders that nobody leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.errors import LaboratoryError
from agents.laboratory.parcel import Parcel
from agents.laboratory.scratch import PREFIX, scratch
from agents.laboratory.snapshot import Snapshot
from tests.commands import ROOT

HOLD = """
import pathlib, sys
sys.path.insert(0, {root!r})
from agents.laboratory.scratch import scratch
with scratch(pathlib.Path({folder!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program, a link, a file in a folder and a folder without any."""
    made = tmp_path / "folder"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "program").write_text("#!/bin/sh\n")
    (made / "program").chmod(0o755)
    (made / "link").symlink_to("program")
    (made / "deep" / "text").write_text("swordfish")
    return made


def test_a_folder_arrives_as_it_was_sent(folder: Path, tmp_path: Path) -> None:
    arrived = Parcel.of(Snapshot.of(folder)).unpack(tmp_path / "there")
    assert arrived.files == Snapshot.of(folder).files and os.access(tmp_path / "there" / "program", os.X_OK)
    assert (tmp_path / "there" / "deep" / "er").is_dir()


def test_a_file_that_changed_on_the_way_is_seen(folder: Path, tmp_path: Path) -> None:
    """In the archive, in the archive's own words, or before it was packed."""
    parcel = Parcel.of(Snapshot.of(folder))
    for number, (before, after, what) in enumerate(
        [(b"swordfish", b"swordfirm", "deep/text"), (b"program\0", b"problem\0", "an archive")]
    ):
        with pytest.raises(LaboratoryError, match=f"{what} did not arrive as it was sent"):
            replace(parcel, archive=parcel.archive.replace(before, after)).unpack(tmp_path / str(number))
    taken = Snapshot.of(folder)
    (folder / "program").write_text("#!/bin/false\n")
    with pytest.raises(LaboratoryError, match="program did not arrive"):
        Parcel.of(taken).unpack(tmp_path / "other")


def test_a_killed_process_leaves_a_folder_to_the_next_one(tmp_path: Path) -> None:
    """And one that is at work keeps its own."""
    mine, its = tmp_path / f"{PREFIX}mine", tmp_path / f"{PREFIX}its"
    program = HOLD.format(root=str(ROOT), folder=str(its))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with scratch(mine):
            assert its.is_dir() and mine.stat().st_mode & 0o777 == 0o700
        other.send_signal(signal.SIGKILL)
    assert its.is_dir() and not mine.exists()
    with scratch(mine):
        assert not its.exists()
    assert list(tmp_path.iterdir()) == []
