"""Ends a run that takes more than it may: time, memory, processes, disk or output. No limit is the run's to keep."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from agents.laboratory.cage import Cage
from agents.laboratory.process_tree import Tree, look, proportional_memory
from agents.limits import Limits

_PERIOD = 0.2
_SHARE_OF_TIME = 0.05
_LEAST_FREE_BYTES = 500_000_000


class Guard(threading.Thread):
    """Looks at a process group from outside, five times a second, and kills it when it breaks a limit.

    `folder` is what the process writes. `exceeded` then says in one sentence which limit it was, `no_room` that others
    have filled the disk; `peak_memory_bytes` is the largest that one process of it ever was, and `cpu_seconds` are of
    all that was seen; 0 where /proc is not.
    """

    def __init__(self, pid: int, seconds: float, limits: Limits, folder: Path | None) -> None:
        super().__init__(daemon=True)
        self.timed_out = False
        self.exceeded: str | None = None
        self.no_room = ""
        self.peak_memory_bytes = 0
        self.cpu_seconds = 0.0
        self._pid, self._limits, self._folder = pid, limits, folder
        self._deadline = time.monotonic() + seconds
        self._over = threading.Event()
        self._cage = Cage(pid, limits.processes)
        self.start()

    def run(self) -> None:
        pause = _PERIOD
        while not self._over.wait(max(0.0, min(pause, self._deadline - time.monotonic()))):
            if time.monotonic() >= self._deadline:
                self.timed_out = True
                kill_group(self._pid)
                return
            began = time.monotonic()
            if broken := self._broken():
                self.end(broken)
                return
            pause = max(_PERIOD, (time.monotonic() - began) / _SHARE_OF_TIME)

    def _broken(self) -> str:
        """Return the limit that is broken, or nothing; what cannot be watched is not left to run."""
        try:
            return self.look() or self._disk()
        except OSError as error:
            return f"could not be watched ({error})"

    def look(self) -> str:
        """Look at the processes now; return the limit that they break, or nothing."""
        limits = self._limits
        self._tree = tree = look(self._pid, limits.processes)
        self.peak_memory_bytes = max(self.peak_memory_bytes, tree.largest)
        self.cpu_seconds = max(self.cpu_seconds, tree.cpu_seconds)
        if tree.threads > limits.processes:
            return f"had more than {limits.processes} processes and threads"
        if tree.memory > limits.memory_bytes and proportional_memory(tree) > limits.memory_bytes:
            return f"used more than {_gigabytes(limits.memory_bytes)} of memory"
        return ""

    def end(self, broken: str) -> None:
        """Kill the process group for a limit that it broke."""
        self.exceeded = self.exceeded or f"the run {broken} and was ended"
        kill_group(self._pid)

    def cancel(self) -> None:
        """Look no more: what happens to the process from now on is not this guard's doing."""
        self._over.set()
        self.join()

    def clear(self) -> None:
        """Leave nothing of the guard, once the process has been waited for."""
        self._cage.remove()

    def _disk(self) -> str:
        if self._folder is None:
            return ""
        limits = self._limits
        size, files = measure(self._folder, limits.files)
        if size + _unnamed(self._tree, self._folder) > limits.disk_bytes:
            return f"wrote more than {_gigabytes(limits.disk_bytes)}"
        if files > limits.files:
            return f"made more than {limits.files} files or hid some"
        return f"left less than {_gigabytes(_LEAST_FREE_BYTES)} of the disk free" if self._is_full(size) else ""

    def look_back(self) -> None:
        """Find out, once a process has failed, whether others had filled the disk."""
        if self._folder is not None:
            self._is_full(measure(self._folder, self._limits.files)[0])

    def _is_full(self, size: int) -> bool:
        assert self._folder is not None
        system = os.statvfs(self._folder)
        full = system.f_bavail * system.f_frsize < _LEAST_FREE_BYTES
        if full and size < _LEAST_FREE_BYTES:
            self.no_room = f"less than {_gigabytes(_LEAST_FREE_BYTES)} of the disk is free"
        return full


def measure(folder: Path, most: int) -> tuple[int, int]:
    """Return the bytes on disk and the number of all files below a folder; a folder that cannot be read has too many.

    Links are not followed, and counting ends above `most`.
    """
    size, files, waiting = 0, 0, [str(folder)]
    while waiting and files <= most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            files = most + 1
    return size, files


def kill_group(pid: int) -> None:
    """Kill a process group that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _unnamed(tree: Tree, folder: Path) -> int:
    """The bytes of the tree's open files without a name that lie on the folder's file system."""
    device = folder.stat().st_dev
    return sum(size for (where, _), size in tree.unnamed.items() if where == device)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
