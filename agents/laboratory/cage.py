"""A control group that bounds how many processes a run may have, where this machine lets one be made.

A watcher is too late for a fork bomb: once thousands of processes are ready to run, it hardly ever runs itself. A group
is the kernel's own bound. It takes the right to write below /sys/fs/cgroup, which root mostly has; where nobody has it,
the watcher is alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from agents.laboratory.process_tree import look

_PLACES = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup")
# Above the limit, so that a watcher still sees it broken and says so.
_SLACK = 16
_ENDING_SECONDS = 5.0


class Cage:
    """The group of one process and of all that it will start."""

    def __init__(self, pid: int, most: int) -> None:
        self._folder = _made(pid, most + _SLACK)
        if self._folder is not None:
            self._take_in(pid)

    def _take_in(self, root: int) -> None:
        """Move the process and what it has started meanwhile; what they start later is in the group by birth."""
        assert self._folder is not None
        inside: set[int] = set()
        while found := set(look(root, _SLACK).pids) - inside:
            for pid in found:
                with contextlib.suppress(OSError):
                    (self._folder / "cgroup.procs").write_text(str(pid))
            inside |= found

    def remove(self) -> None:
        """Remove the group as soon as all of it has ended; one that does not end in seconds is left."""
        end = time.monotonic() + _ENDING_SECONDS
        while self._folder is not None and time.monotonic() < end:
            try:
                self._folder.rmdir()
                return
            except OSError:
                time.sleep(0.02)


def _made(pid: int, most: int) -> Path | None:
    for place in map(Path, _PLACES):
        folder = place / f"circle-{os.getpid()}-{pid}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / "pids.max").write_text(str(most))
        except OSError:
            folder.rmdir()
            continue
        return folder
    return None
