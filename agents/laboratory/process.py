"""One child process, watched from outside: its output, its clock and its memory are the parent's measurements."""

from __future__ import annotations

import math
import os
import re
import select
import statistics
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

from agents.errors import Interrupted
from agents.laboratory.guard import Guard, kill_group
from agents.limits import Limits

LINE_LIMIT = 65_536
_WARM_UP_STEPS = 10
_TAIL_LINES = 20
_DEFAULTS = Limits()
# Beyond these, a line of progress is a flood: it is text, or not heard at once.
_MOST_STEPS = 1_000_000
_STEP_DIGITS = 15
_HEARD_SECONDS = 0.05
_LEAST_GAP_SECONDS = 0.01
# How often a silent process is looked at, and how long output may still come from what outlives one that nothing
# protects from.
_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Ended:
    """How a process ended and what was seen of it. Times in seconds, memory in bytes.

    `exceeded` is one sentence about the limit for which it was ended. The peak memory is the largest that the process
    or a descendant of it was seen to have had, CPU seconds are of all of them as long as they were seen; None if
    nothing was. `memory_kills` is how many processes the kernel killed for want of memory meanwhile, `unwritten` why
    the disk could not take what it wrote, which ended the process. Of one that is `unseen`, its watcher was killed.
    """

    returncode: int
    timed_out: bool
    exceeded: str | None
    seconds: float
    cpu_seconds: float | None
    memory_kills: int
    unwritten: str
    peak_memory_bytes: int | None
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    seconds_per_step: float | None
    tail: tuple[str, ...]
    unseen: bool = False

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
        limits: Limits = _DEFAULTS,
        folder: Path | None = None,
    ) -> Ended:
        """Run a command to its end, its output in `log`; `progress` finds step, steps and loss in a line.

        What breaks one of the `limits` is ended; `folder` is the one that it writes, whose size has a limit.

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
        guard = Guard(process.pid, timeout_seconds, limits, folder)
        seen = _Seen(guard, progress, hear)
        try:
            with ExitStack() as unseen:
                unseen.callback(kill_group, process.pid)
                try:
                    with log.open("wb", buffering=0) as file:
                        for line in _lines(process, file, limits.log_bytes, guard):
                            seen.note(line)
                except OSError as error:
                    unwritten = error.strerror or str(error)
                    kill_group(process.pid)
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                unseen.pop_all()
        finally:
            # Its id is its own until it is waited for: nobody else is killed by a guard that comes late.
            guard.cancel()
            with self._lock:
                self._running.discard(process.pid)
            process.wait()
            guard.clear()
        if self._ended:
            raise Interrupted
        if process.returncode:
            guard.look_back()
        return Ended(
            returncode=process.returncode,
            timed_out=guard.timed_out,
            exceeded=guard.exceeded,
            seconds=time.monotonic() - started,
            cpu_seconds=guard.cpu_seconds or None,
            memory_kills=_memory_kills() - kills,
            unwritten=unwritten or guard.no_room,
            peak_memory_bytes=guard.peak_memory_bytes or None,
            steps=tuple(seen.steps),
            losses=tuple(seen.losses),
            seconds_per_step=seen.seconds_per_step(),
            tail=tuple(seen.tail),
        )

    def end_all(self) -> None:
        """Kill every process that is still running, with its process group; none is started afterwards."""
        with self._lock:
            self._ended = True
            for pid in self._running:
                kill_group(pid)


class _Seen:
    """What the parent saw go by in a child's output."""

    def __init__(self, guard: Guard, progress: re.Pattern[str] | None, hear: Callable[[int, int, float], None]) -> None:
        self._guard, self._progress, self._hear = guard, progress, hear
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._times: list[float] = []
        self._heard = -math.inf

    def note(self, raw: bytes) -> None:
        """Take note of a line: of progress, or text of which the last is kept."""
        line = raw.decode(errors="replace").rstrip()
        if not self._noted(line) and line:
            self.tail.append(line)

    def _noted(self, line: str) -> bool:
        match = self._progress.search(line) if self._progress and len(self.steps) < _MOST_STEPS else None
        if match is None or max(map(len, match.group("step", "steps"))) > _STEP_DIGITS:
            return False
        try:
            step, steps, loss = int(match["step"]), int(match["steps"]), float(match["loss"])
        except ValueError:
            return False
        now = time.monotonic()
        self.steps.append(step)
        self.losses.append(loss)
        self._times.append(now)
        if now - self._heard > _HEARD_SECONDS:
            self._heard = now
            self._guard.look()
            self._hear(step, steps, loss)
        return True

    def seconds_per_step(self) -> float | None:
        """The lower quartile over the lines after the warm-up, for other work on the machine only slows a step.

        On a busy machine it varies less from run to run than the median. An evaluation between two lines doesn't
        count. None where lines follow one another so quickly that their times are those of the pipe.
        """
        timed = [(s, t) for s, t in zip(self.steps, self._times, strict=True) if s >= _WARM_UP_STEPS]
        gaps = [(s2 - s1, t2 - t1) for (s1, t1), (s2, t2) in pairwise(timed) if s2 > s1]
        if not gaps or statistics.median(seconds for _, seconds in gaps) < _LEAST_GAP_SECONDS:
            return None
        times = sorted(seconds / steps for steps, seconds in gaps)
        return times[len(times) // 4]


def _lines(process: subprocess.Popen[bytes], log: IO[bytes], most: int, guard: Guard) -> Iterator[bytes]:
    """Give what is no empty line, in pieces if it is long; copy `most` bytes to the log, and end what prints more."""
    printed, rest = 0, b""
    for chunk in _chunks(process):
        log.write(chunk[: max(0, most - printed)])
        printed += len(chunk)
        if printed > most:
            guard.end(f"printed more than {most / 1e6:.3g} MB")
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
        if len(rest) >= LINE_LIMIT:
            yield rest
            rest = b""
    yield rest


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Give the output as it comes, to its end, or until a while after the process's if others hold it open."""
    assert process.stdout is not None
    last = math.inf
    with process.stdout as output:
        poll = select.poll()
        poll.register(output, select.POLLIN | select.POLLHUP)
        while time.monotonic() < last:
            if poll.poll(_LOOK_SECONDS * 1000):
                if not (chunk := os.read(output.fileno(), LINE_LIMIT)):
                    return
                yield chunk
            if last == math.inf and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                last = time.monotonic() + _GRACE_SECONDS


def _memory_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it started; 0 where it doesn't say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
