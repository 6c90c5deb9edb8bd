"""One child process, watched from outside: its output, its clock and its memory are the parent's measurements."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

from agents.errors import Interrupted

LINE_LIMIT = 65_536
_WARM_UP_STEPS = 10
_TAIL_LINES = 20


@dataclass(frozen=True)
class Ended:
    """How a process ended and what was seen of it. Times in seconds, memory in bytes.

    The peak memory is the largest of the process and its descendants as of the last line of progress; None without one.
    CPU seconds are of the process and all that it waited for. `memory_kills` is how many processes the kernel killed
    for want of memory meanwhile, `unwritten` why the log could not be written, which ended the process.
    """

    returncode: int
    timed_out: bool
    seconds: float
    peak_memory_bytes: int | None
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    seconds_per_step: float | None
    tail: tuple[str, ...]
    cpu_seconds: float
    memory_kills: int
    unwritten: str

    @property
    def diverged(self) -> bool:
        """Whether the last loss that was seen is not a finite number."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])


class Processes:
    """The child processes of one laboratory, so that all of them can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._ended = False

    def watch(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        timeout_seconds: float,
        environment: Mapping[str, str],
        progress: re.Pattern[str] | None = None,
        hear: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    ) -> Ended:
        """Run a command to its end, its output in `log`; `progress` finds step, steps and loss in a line.

        Raises:
            Interrupted: `end_all` ended it, so that nothing can be said of it.
        """
        if self._ended:
            raise Interrupted
        started, kills, unwritten = time.monotonic(), _memory_kills(), ""
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with self._lock:
            self._running.add(process.pid)
        alarm = _Alarm(process.pid, timeout_seconds)
        try:
            assert process.stdout is not None
            seen = _Seen(process.pid, progress, hear)
            try:
                with log.open("wb") as file:
                    seen.read(process.stdout, file)
            except OSError as error:
                unwritten = error.strerror or str(error)
                _kill(process.pid)
            cpu_seconds = _wait(process)
        finally:
            with self._lock:
                self._running.discard(process.pid)
            alarm.cancel()
        if self._ended:
            raise Interrupted
        return Ended(
            returncode=process.returncode,
            timed_out=alarm.rang,
            seconds=time.monotonic() - started,
            peak_memory_bytes=seen.peak_memory_bytes,
            steps=tuple(seen.steps),
            losses=tuple(seen.losses),
            seconds_per_step=seen.seconds_per_step(),
            tail=tuple(seen.tail),
            cpu_seconds=cpu_seconds,
            memory_kills=_memory_kills() - kills,
            unwritten=unwritten,
        )

    def end_all(self) -> None:
        """Kill every process that is still running, with its process group; none is started afterwards."""
        with self._lock:
            self._ended = True
            for pid in self._running:
                _kill(pid)


class _Alarm:
    """Kills a process group when its time is over."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.rang = False
        self._pid = pid
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.rang = True
        _kill(self._pid)

    def cancel(self) -> None:
        self._timer.cancel()


class _Seen:
    """What the parent saw go by in a child's output."""

    def __init__(self, pid: int, progress: re.Pattern[str] | None, hear: Callable[[int, int, float], None]) -> None:
        self._pid, self._progress, self._hear = pid, progress, hear
        self.peak_memory_bytes: int | None = None
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.tail: list[str] = []
        self._times: list[float] = []

    def read(self, output: IO[bytes], log: IO[bytes]) -> None:
        for raw in iter(lambda: output.readline(LINE_LIMIT), b""):
            log.write(raw)
            line = raw.decode(errors="replace").rstrip()
            if not self._noted(line) and line:
                self.tail = [*self.tail[-_TAIL_LINES + 1 :], line]

    def _noted(self, line: str) -> bool:
        """Take note of a line of progress; whatever else a run prints is text."""
        match = self._progress.search(line) if self._progress else None
        if match is None:
            return False
        try:
            step, steps, loss = int(match["step"]), int(match["steps"]), float(match["loss"])
        except ValueError:
            return False
        self.steps.append(step)
        self.losses.append(loss)
        self._times.append(time.monotonic())
        self.peak_memory_bytes = max(self.peak_memory_bytes or 0, _peak_memory(self._pid)) or None
        self._hear(step, steps, loss)
        return True

    def seconds_per_step(self) -> float | None:
        """The median over the lines after the warm-up: an evaluation or a hiccup between two lines doesn't count."""
        timed = [(s, t) for s, t in zip(self.steps, self._times, strict=True) if s >= _WARM_UP_STEPS]
        rates = [(t2 - t1) / (s2 - s1) for (s1, t1), (s2, t2) in pairwise(timed) if s2 > s1]
        return statistics.median(rates) if rates else None


def _peak_memory(pid: int) -> int:
    """The largest resident set, in bytes, that the process or a descendant of it ever had; 0 where /proc is not."""
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "status").read_text().splitlines()
        children = [int(child) for file in folder.glob("task/*/children") for child in file.read_text().split()]
    except OSError:
        return 0
    own = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    return max([own, *map(_peak_memory, children)])


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process and return the CPU seconds of it and of all that it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _memory_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it started; 0 where it doesn't say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
