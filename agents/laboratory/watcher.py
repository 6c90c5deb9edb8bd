"""The process that watches one run, and outlives the session that started it.

A session that is killed loses nothing by it: the run goes on, its limits are kept, and what was seen of it is written
down at its end. The next process of the session finds by the run's lock that it is being watched, and waits for it.

    runs/<key>.lock      held as long as the run is watched; in it, the watcher's process id
    runs/<key>.<n>.json  what was seen of the n-th try, and the hashes of the files that it left
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from agents.crashpoint import crashpoint
from agents.errors import Interrupted
from agents.laboratory.process import Ended, Processes
from agents.laboratory.snapshot import Snapshot
from agents.limits import Limits
from agents.sealed import SealBroken, read_sealed, write_sealed

Hear = Callable[[int, int, float], None]
_RECORD_BYTES = 1_000_000
_PACKAGES = Path(__file__).resolve().parents[2]
# Without site-packages, which a watcher has no use for, Python starts in a third of the time.
_PROGRAM = f"import sys; sys.path.insert(0, {str(_PACKAGES)!r}); from agents.laboratory import watcher; watcher.main()"


@dataclass(frozen=True)
class Job:
    """One try of a run: its command, where it runs, what it writes to, and what it is held to."""

    command: tuple[str, ...]
    cwd: Path
    output: Path
    attempt: int
    timeout_seconds: float
    progress: str
    limits: Limits

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.output.with_suffix(".log")

    @property
    def lock(self) -> Path:
        """What is locked as long as it is watched."""
        return self.output.with_suffix(".lock")

    @property
    def record(self) -> Path:
        """What was seen of it."""
        return self.output.with_suffix(f".{self.attempt}.json")


@dataclass(frozen=True)
class Seen:
    """How a run ended, and the folder that it ran in."""

    ended: Ended
    cwd: Path


class Watchers:
    """The watched runs of one laboratory, so that all of them can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._ended = False

    def watch(self, job: Job, hear: Hear) -> Seen:
        """Return what was seen of a try: of one that has ended, of one that is still being watched, or of a new one.

        Raises:
            Interrupted: `end_all` ended it, so that nothing can be said of it.
        """
        handle = os.open(job.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._wait(handle)
            found = _read(job, anew=False)
            if found is None and not self._ended:
                self._start(job, handle, hear)
                found = _read(job, anew=True)
        finally:
            os.close(handle)
        if self._ended:
            raise Interrupted
        return found or Seen(_lost(job), job.cwd)

    def end_all(self) -> None:
        """End every run that is still being watched; none is started afterwards."""
        with self._lock:
            self._ended = True
            for pid in self._running:
                _end(pid)

    def _wait(self, handle: int) -> None:
        """Lock the run; while another process watches it, until that has ended."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if watcher := os.pread(handle, 32, 0):  # none if it has only just been started
                self._note(int(watcher))
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._running.discard(int(watcher or 0))

    def _start(self, job: Job, handle: int, hear: Hear) -> None:
        """Start a watcher, which shares the lock, and hear of the run's steps until it has ended."""
        shutil.rmtree(job.output, ignore_errors=True)
        job.output.mkdir(parents=True)
        os.ftruncate(handle, 0)
        crashpoint("training before")
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(handle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(handle,),
            start_new_session=True,
        ) as watcher:
            self._note(watcher.pid)
            assert watcher.stdin is not None and watcher.stdout is not None
            with ExitStack() as unheard:
                unheard.callback(_end, watcher.pid)
                with contextlib.suppress(BrokenPipeError):  # it was ended before it had heard all
                    watcher.stdin.write(json.dumps(_plain(job)))
                    watcher.stdin.close()
                crashpoint("training started")
                for line in watcher.stdout:
                    step, steps, loss = line.split()
                    hear(int(step), int(steps), float(loss))
                unheard.pop_all()
        self._running.discard(watcher.pid)
        crashpoint("training ended")

    def _note(self, pid: int) -> None:
        with self._lock:
            self._running.add(pid)
            if self._ended:
                _end(pid)


def orphans(folder: Path) -> list[int]:
    """Return the watchers of the runs that a killed process left below a session's folder."""
    return [int(text) for file in folder.rglob("*.lock") if _is_held(file) and (text := file.read_text()).isdigit()]


def end_orphans(folder: Path) -> int:
    """End the runs that a killed process left below a session's folder; return how many there were."""
    left = orphans(folder)
    for pid in left:
        _end(pid)
    return len(left)


def _is_held(lock: Path) -> bool:
    with lock.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def forget(output: Path) -> None:
    """Remove what only a resumed session would look for, once a run is on record."""
    for file in (output.with_suffix(".lock"), *output.parent.glob(f"{output.name}.[0-9].json*")):
        file.unlink(missing_ok=True)


def main() -> None:
    """Watch the run that standard input describes; the first argument is the handle of its lock."""
    handle = int(sys.argv[1])
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        told = json.load(sys.stdin)
    except ValueError:  # the session was killed before it had said all
        return
    job = Job(**told | {name: Path(told[name]) for name in ("cwd", "output")} | {"limits": Limits(**told["limits"])})
    try:
        ended = Processes().watch(
            job.command,
            cwd=job.cwd,
            log=job.log,
            timeout_seconds=job.timeout_seconds,
            environment=os.environ,
            progress=re.compile(job.progress),
            hear=_tell,
            limits=job.limits,
            folder=job.output,
        )
        write_sealed(job.record, {"ended": asdict(ended), "cwd": str(job.cwd), "files": _files(job.output)})
    except Interrupted:
        return


def _interrupt(number: int, frame: object) -> NoReturn:
    raise Interrupted


def _tell(step: int, steps: int, loss: float) -> None:
    """Tell whoever listens; a session that was killed does not."""
    try:
        print(step, steps, loss, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (for the rest of the process)


def _read(job: Job, *, anew: bool) -> Seen | None:
    """Return what was seen of a try; nothing if there is no record, or it or what the run left is not as it was."""
    try:
        body = read_sealed(job.record)
    except (OSError, SealBroken):
        return None
    if not anew and Snapshot(job.output, body["files"]).changed():
        return None
    fields: dict[str, Any] = body["ended"]
    several = {name: tuple(fields[name]) for name in ("steps", "losses", "tail")}
    return Seen(Ended(**fields | several), Path(body["cwd"]))


def _files(folder: Path) -> dict[str, str]:
    """The hashes of what a run left; of a folder that cannot be read, none, so that it is not believed later."""
    try:
        return Snapshot.of(folder).files
    except OSError:
        return {}


def _lost(job: Job) -> Ended:
    """What is known of a try whose watcher left nothing: it was killed, or the disk took no more."""
    disk = os.statvfs(job.output)
    full = disk.f_bavail * disk.f_frsize < _RECORD_BYTES
    return replace(_KILLED, unwritten="no space is left for what was seen of it") if full else _KILLED


def _plain(job: Job) -> dict[str, Any]:
    return asdict(job) | {"cwd": str(job.cwd), "output": str(job.output)}


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


_KILLED = Ended(
    returncode=-signal.SIGKILL,
    timed_out=False,
    exceeded=None,
    seconds=0.0,
    cpu_seconds=None,
    memory_kills=0,
    unwritten="",
    peak_memory_bytes=None,
    steps=(),
    losses=(),
    seconds_per_step=None,
    tail=(),
    unseen=True,
)
