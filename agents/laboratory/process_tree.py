"""What a process and all that it started hold at one moment, as Linux's /proc shows it; elsewhere nothing is seen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

# Where a sandboxed process may have a file system in memory of its own.
_SCRATCH = ("tmp", "dev/shm")
_BLOCK = 512


@dataclass
class Tree:
    """A process and its descendants. Memory in bytes; `unnamed` is the size of open files that no name leads to.

    CPU seconds are not from the parent's resource usage, for a sandbox may not wait for what runs inside.
    """

    pids: list[int] = field(default_factory=list)
    threads: int = 0
    cpu_seconds: float = 0.0
    largest: int = 0
    private: int = 0
    shared: int = 0
    in_memory: dict[tuple[int, int], int] = field(default_factory=dict)
    unnamed: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """All of it in bytes, with the files that lie in memory; what forks share counts once for each of them."""
        return self.private + max(self.shared, sum(self.in_memory.values()))


def look(root: int, most: int) -> Tree:
    """Look at a process and its descendants, until `most` threads are counted; one that ends meanwhile is left out."""
    tree, waiting = Tree(), [root]
    while waiting and tree.threads <= most:
        pid = waiting.pop()
        try:
            _add(tree, pid)
            waiting += children(pid)
        except OSError:
            continue
    return tree


def children(pid: int) -> list[int]:
    """Return the processes that a process started and that are its own; raise OSError if it has ended."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def proportional_memory(tree: Tree) -> int:
    """Like the tree's memory, but what processes share is divided among them; slower."""
    return sum(map(_proportional, tree.pids)) + sum(tree.in_memory.values())


def _add(tree: Tree, pid: int) -> None:
    folder, status = Path(f"/proc/{pid}"), _status(pid)
    tree.pids.append(pid)
    tree.threads += int(status["Threads"])
    tree.cpu_seconds += _cpu_seconds(pid)
    tree.largest = max(tree.largest, _kilobytes(status, "VmHWM"))
    tree.private += _kilobytes(status, "RssAnon")
    tree.shared += _kilobytes(status, "RssShmem")
    try:
        _add_scratch(tree, folder / "root")
        _add_open_files(tree, folder / "fd")
    except OSError:
        return


def _add_scratch(tree: Tree, root: Path) -> None:
    if root.stat().st_ino == Path("/").stat().st_ino and root.stat().st_dev == Path("/").stat().st_dev:
        return
    for place in _SCRATCH:
        system = os.statvfs(root / place)
        identity = ((root / place).stat().st_dev, 0)
        inodes = (system.f_files - system.f_ffree) * 1024
        tree.in_memory[identity] = (system.f_blocks - system.f_bfree) * system.f_frsize + inodes


def _add_open_files(tree: Tree, folder: Path) -> None:
    for entry in folder.iterdir():
        try:
            name = str(entry.readlink())
            if not name.startswith("/memfd:") and not name.endswith(" (deleted)"):
                continue
            status = entry.stat()
        except OSError:
            continue
        kind = tree.in_memory if name.startswith("/memfd:") else tree.unnamed
        kind[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK


def _proportional(pid: int) -> int:
    """The process's share of what it holds, or all of it where a process keeps that to itself."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return sum(_kilobytes(_status(pid), name) for name in ("RssAnon", "RssShmem"))
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))


def _cpu_seconds(pid: int) -> float:
    """Of the process and all that it waited for."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _kilobytes(status: dict[str, str], name: str) -> int:
    return int(status[name].split()[0]) * 1024 if name in status else 0
