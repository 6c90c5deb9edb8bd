"""The time that pieces of work take on a device, measured without waiting for each."""

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

import torch

Item = TypeVar("Item")
Moment = float | torch.cuda.Event


class Stopwatch:
    """`with watch:` measures a lap: on a CPU by the clock, on CUDA by events in the stream of work.

    From `start` on, the same clock says which phase the time went to: `passed` ends one. No moment is in two phases
    and none is left out, so that they add up to the time from the start to the last that has passed.
    """

    def __init__(
        self, device: torch.device, laps: list[float] | None = None, phases: Mapping[str, float] | None = None
    ) -> None:
        self.device = device
        self.laps, self.phases = laps or [], dict(phases or {})
        self.unread: list[tuple[Moment, Moment]] = []
        self.unread_phases: list[tuple[str, Moment, Moment]] = []
        self.start()

    def start(self) -> None:
        """The phases begin now: what was before belongs to none."""
        self.last = self.now()

    def passed(self, phase: str) -> None:
        """All since the phase before was work of this one."""
        before, self.last = self.last, self.now()
        self.unread_phases.append((phase, before, self.last))

    def passing(self, phase: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the wait for each is work of the phase."""
        for item in items:
            self.passed(phase)
            yield item

    def __enter__(self) -> None:
        self.passed("other")
        self.started = self.last

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unread.append((self.started, self.now()))

    def now(self) -> Moment:
        """This moment of the work on the device."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self) -> list[float]:
        """Every lap so far; waits until the work of the last is done."""
        self.laps += [between(*moments) for moments in self.unread]
        self.unread.clear()
        return self.laps

    def phase_seconds(self) -> dict[str, float]:
        """What every phase took so far; waits until the work of the last is done."""
        for phase, *moments in self.unread_phases:
            self.phases[phase] = self.phases.get(phase, 0.0) + between(*moments)
        self.unread_phases.clear()
        return self.phases


def between(first: Moment, second: Moment) -> float:
    """The seconds from one moment to another of the same device; waits for both."""
    if isinstance(first, float) and isinstance(second, float):
        return second - first
    assert isinstance(first, torch.cuda.Event) and isinstance(second, torch.cuda.Event), "moments of two devices"
    second.synchronize()
    return float(first.elapsed_time(second)) / 1000
