"""The sessions of a campaign on one machine take turns at training, so that each one's times are measured alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn_of(file: Path | None) -> Iterator[None]:
    """Wait until no other session trains that has the same file; without one, nobody else is to be waited for."""
    if file is None:
        yield
        return
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
