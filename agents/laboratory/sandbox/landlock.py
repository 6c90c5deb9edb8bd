"""Landlock and seccomp by sandlock (github.com/multikernel/sandlock), where namespaces are forbidden. Linux 6.12.

What it cannot do: a file's existence, size and times stay visible, `/tmp` is not the process's own (its scratch is a
folder in what it may write), it may not change modes, owners or times of files, its own limits or its processors, and
it cannot make sockets that talk to anything, its own processes included.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agents.laboratory.sandbox.sandbox import (
    HARDWARE,
    Confinement,
    Sandbox,
    accelerators,
    limited,
    pythons,
)

_LAUNCHER = Path(__file__).resolve().with_name("landlock_launcher.py")
_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/proc"),
    *("/dev/zero", "/dev/random", "/dev/urandom", *HARDWARE),
)
_WRITABLE = ("/dev/null",)
# What Landlock does not hold and sandlock allows: metadata of files that cannot be opened, and processes of the same
# user, of which prlimit alone can end one.
_FORBIDDEN = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat", "mknod", "mknodat", "chroot", "syslog"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("prlimit64", "setpriority", "ioprio_set", "sched_setaffinity", "sched_setscheduler", "sched_setparam"),
    *("sched_setattr", "pidfd_open", "pidfd_getfd", "process_madvise", "kcmp", "migrate_pages", "move_pages"),
    *("inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init"),
)


class Landlock(Sandbox):
    """A supervisor of its own for each process; what it starts is killed with it."""

    name = "sandlock"

    def __init__(self, packages: Path) -> None:
        self._packages = packages

    def confine(self, command: Sequence[str], to: Confinement) -> list[str]:
        scratch = to.writable[0] / ".scratch" if to.writable else None
        places = {"HOME": str(scratch), "TMPDIR": str(scratch)} if scratch else {}
        readable = [*map(Path, _READABLE), *pythons(), *accelerators(), *to.readable]
        policy = {
            "packages": str(self._packages),
            "scratch": scratch and str(scratch),
            "fs_readable": [str(path) for path in readable if path.exists()],
            "fs_writable": [*_WRITABLE, *map(str, to.writable)],
            "fs_denied": [str(path) for path in to.concealed],
            "extra_deny_syscalls": _FORBIDDEN,
            "max_processes": to.limits.processes,
            "gpu_devices": [] if accelerators() else None,
            "env": {**to.variables, **places},
            "cwd": str(to.cwd),
        }
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(policy), *command]
        return limited(launcher, to.limits)


def installed() -> Iterator[Landlock]:
    """The sandbox, if its library is installed."""
    found = importlib.util.find_spec("sandlock")
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield Landlock(Path(folder).parent)
