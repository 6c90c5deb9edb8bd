"""What a node of a cluster does for a session: it says what it is, and makes one try of a run.

The run has the same sandbox, guard and comparisons as on the session's own machine, and all of them are the node's:
what comes back is what was seen from outside, and the files that the run left, each with its digest.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from agents.laboratory.data import places_of
from agents.laboratory.machine import fingerprint
from agents.laboratory.measurement import refusal
from agents.laboratory.parcel import Parcel
from agents.laboratory.process import Ended, Processes
from agents.laboratory.sandbox import Sandbox, Unprotected, choose
from agents.laboratory.scratch import scratch
from agents.laboratory.snapshot import Snapshot
from agents.limits import Limits

Step = tuple[int, int, float]
_TOLD_SECONDS = 1.0
_PDEATHSIG = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) and os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Look:
    """What a node is: what decides a run's bits there, and what it has for one. `scratch` is where its runs may lie.

    `authentication` is how the node's Ray knows a friend, `files` the same wherever the same files are seen.
    """

    fingerprint: dict[str, Any]
    sandbox: str
    circle: str
    python: str
    scratch: Path
    authentication: str
    files: str


def authentication() -> str:
    """Return Ray's mode of authentication in this process: without the same one on both sides messages are lost."""
    return os.environ.get("RAY_AUTH_MODE", "disabled").lower()


def files() -> str:
    """Return what is the same for processes that see the same files: a machine's mark, or that of a container on it."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {Path('/proc/self/ns/mnt').readlink()}"
    except OSError:
        return platform.node()


def look(threads: int, unprotected: bool) -> Look:
    """Say what this node is for runs of so many threads; raise SandboxMissing if it could not protect itself."""
    return Look(
        fingerprint=fingerprint(threads),
        sandbox=_sandbox(unprotected).name,
        circle=importlib.metadata.version("circle-research"),
        python=sys.executable,
        scratch=Path(tempfile.gettempdir()),
        authentication=authentication(),
        files=files(),
    )


@dataclass(frozen=True)
class Errand:
    """One try of a run: its command, whose paths are below `place`, and what it is held to.

    `open` is the path of the data below {data}, `conceal` names Python packages that the run may not see; `own` are
    folders that the node has by itself, and that the run may read.
    """

    key: str
    place: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    open: str
    own: tuple[Path, ...]
    conceal: tuple[str, ...]
    unprotected: bool
    timeout_seconds: float
    progress: str
    limits: Limits

    @property
    def tree(self) -> Path:
        """Where its code lies."""
        return tree_at(self.place)

    @property
    def data(self) -> Path:
        """Where its data lies."""
        return data_at(self.place)

    @property
    def output(self) -> Path:
        """The folder that it writes."""
        return output_at(self.place, self.key)


def tree_at(place: Path) -> Path:
    """Return where a run's code lies below its place on a node."""
    return place / "tree"


def data_at(place: Path) -> Path:
    """Return where a run's data lies below its place on a node."""
    return place / "data"


def output_at(place: Path, key: str) -> Path:
    """Return the folder that a run writes below its place on a node; its log lies beside it."""
    return place / "left" / key


@dataclass(frozen=True)
class Brought:
    """What a node brings back: how the run ended, why it is refused, if so, and what it left.

    That is its log and its folder, which is empty unless the run ended well and is not refused.
    """

    ended: Ended
    refused: str
    left: Parcel


def run(errand: Errand, code: Parcel, data: Parcel | None = None) -> Iterator[Step | Brought]:
    """Make a try; give its progress about once a second, and what is to be brought back at last."""
    steps: SimpleQueue[Step | None] = SimpleQueue()
    with ThreadPoolExecutor(1) as pool, scratch(errand.place):
        going = pool.submit(_tried, errand, code, data, _seldom(steps.put))
        going.add_done_callback(lambda done: steps.put(None))
        yield from (step for step in iter(steps.get, None))  # a generator, for Ray sends it things
        yield going.result()


def _tried(errand: Errand, code: Parcel, data: Parcel | None, hear: Callable[[int, int, float], None]) -> Brought:
    tree = code.unpack(errand.tree)
    errand.data.mkdir()
    given = data.unpack(errand.data / errand.open) if data else None
    errand.output.mkdir(parents=True)
    sandbox = _sandbox(errand.unprotected)
    command = sandbox.wrap(
        errand.command,
        cwd=tree.folder,
        readable=[tree.folder, *([given.folder] if given else []), *errand.own],
        writable=[errand.output],
        concealed=places_of(errand.conceal),
        environment=errand.environment,
        limits=errand.limits,
    )
    ended = Processes().watch(
        _leashed(command) if isinstance(sandbox, Unprotected) else command,
        cwd=tree.folder,
        log=errand.output.with_suffix(".log"),
        timeout_seconds=errand.timeout_seconds,
        environment=os.environ,
        progress=re.compile(errand.progress),
        hear=hear,
        limits=errand.limits,
        folder=errand.output,
    )
    refused = refusal(tree, given, errand.output)
    return Brought(ended, refused, _left(errand, whole=ended.returncode == 0 and not refused))


def _left(errand: Errand, *, whole: bool) -> Parcel:
    folder = errand.output
    if not whole:
        folder.rename(errand.place / "unread")
        folder.mkdir()
    return Parcel.of(Snapshot.of(folder.parent))


def _seldom(hear: Callable[[Step], None]) -> Callable[[int, int, float], None]:
    """Return what passes a step on if the one before was not told just now: each is a message over the network."""
    told = 0.0

    def tell(step: int, steps: int, loss: float) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_SECONDS:
            told = time.monotonic()
            hear((step, steps, loss))

    return tell


def _leashed(command: list[str]) -> list[str]:
    """Return a command that dies with the process that starts it, as what runs in a sandbox does by itself."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _PDEATHSIG, str(os.getpid()), *command]


@cache
def _sandbox(unprotected: bool) -> Sandbox:
    """The sandbox that held its trial in this process."""
    return choose(unprotected)
