"""Folders that last as long as the process that made them: what a killed one left, the next one removes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "circle-run-"


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Make a folder whose name begins with PREFIX, and remove it at the end; remove those whose process has died.

    It is locked before it has its name, so that nobody takes it for one that was left.
    """
    _sweep(folder.parent)
    unnamed = folder.with_name(f".{folder.name}")
    unnamed.mkdir(mode=0o700)
    handle = os.open(unnamed, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        unnamed.rename(folder)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is being removed, or another user's
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
