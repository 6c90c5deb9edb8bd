"""What every sandbox has in common: what a command may see and write, and the environment that it gets."""

from __future__ import annotations

import os
import resource
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agents.errors import LaboratoryError
from agents.limits import Limits

SCRATCH = "/tmp"  # noqa: S108  (inside it is the process's own, or nobody's)
# The processors' layout, which torch sizes its thread pools and CUDA its copies by.
HARDWARE = ("/sys/devices/system/cpu", "/sys/devices/system/node")

_DEFAULTS = Limits()
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ENVIRONMENT = MappingProxyType(
    {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": SCRATCH,
        "USER": "circle",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
)
_LIBRARIES = ("LD_LIBRARY_PATH",)
_INHERITED = (*_LIBRARIES, "CUDA_VISIBLE_DEVICES")
_FILE_BLOCK = 512


@dataclass(frozen=True)
class Confinement:
    """What a command is held to. All paths but `names` are real ones; `names` are those that lead to them by links."""

    cwd: Path
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    concealed: tuple[Path, ...]
    names: tuple[Path, ...]
    variables: Mapping[str, str]
    limits: Limits


class Sandbox(ABC):
    """Turns a command into one that runs protected."""

    name: str
    """What the report calls it."""

    def wrap(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        concealed: Sequence[Path] = (),
        environment: Mapping[str, str] = _NOTHING,
        limits: Limits = _DEFAULTS,
    ) -> list[str]:
        """Return the command, protected; raise LaboratoryError if a path that it is to see does not exist.

        `readable` and `writable` appear at their own places, `cwd` lies in one of them. What is `concealed`
        cannot be read, even where it lies in one of them. `environment` is added to a small fixed one, and no place
        for secrets: it becomes a part of the command. Of the `limits` those that the kernel keeps for each process
        are set here; the laboratory's guard keeps the others.
        """
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        confinement = Confinement(
            cwd=cwd.resolve(),
            readable=tuple(map(_real, readable)),
            writable=tuple(map(_real, writable)),
            concealed=tuple(map(_real, concealed)),
            names=tuple(Path(os.path.normpath(path.absolute())) for path in (*readable, *writable)),
            variables={**_ENVIRONMENT, **inherited, **environment},
            limits=limits,
        )
        return self.confine(command, confinement)

    @abstractmethod
    def confine(self, command: Sequence[str], to: Confinement) -> list[str]:
        """Return the command, held to this."""


def limited(command: Sequence[str], limits: Limits) -> list[str]:
    """Return the command with the limits that the kernel keeps for each process, and first in line when memory ends.

    It has no environment but where libraries lie: from inside, what starts the sandbox may be seen.
    """
    kept = [f"{name}={os.environ[name]}" for name in _LIBRARIES if name in os.environ]
    files = _at_most(limits.open_files, resource.RLIMIT_NOFILE)
    blocks = _at_most(limits.disk_bytes, resource.RLIMIT_FSIZE) // _FILE_BLOCK
    ulimits = f"ulimit -c 0 && ulimit -n {files} && ulimit -f {blocks} || exit 125"
    script = f'{ulimits}; {{ echo 1000 > /proc/self/oom_score_adj; }} 2> /dev/null; exec "$0" "$@"'
    return ["/usr/bin/env", "-i", *kept, "/bin/sh", "-c", script, *command]


def pythons() -> Iterator[Path]:
    """The folders of this Python: of the virtual environment and of the installation that it links to."""
    yield Path(sys.prefix)
    yield Path(sys.base_prefix)


def accelerators() -> list[Path]:
    """The devices of NVIDIA's driver."""
    return sorted(Path("/dev").glob("nvidia*"))


def _at_most(wanted: int, kind: int) -> int:
    """What is wanted, or less if this process itself may have less."""
    _, most = resource.getrlimit(kind)
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


def _real(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except OSError as error:
        raise LaboratoryError(f"The sandbox cannot show or conceal {path}: {error.strerror}.") from error
