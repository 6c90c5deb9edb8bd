"""The time that pieces of work take on a device, measured without waiting for each."""

import time
from types import TracebackType

import torch

Moment = float | torch.cuda.Event


class Stopwatch:
    """`with watch:` measures a lap: on a CPU by the clock, on CUDA by events in the stream of work."""

    def __init__(self, device: torch.device, laps: list[float] | None = None) -> None:
        self.device = device
        self.laps = laps or []
        self.unread: list[tuple[Moment, Moment]] = []

    def __enter__(self) -> None:
        self.started = self.now()

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


def between(first: Moment, second: Moment) -> float:
    """The seconds from one moment to another of the same device; waits for both."""
    if isinstance(first, float) and isinstance(second, float):
        return second - first
    assert isinstance(first, torch.cuda.Event) and isinstance(second, torch.cuda.Event), "moments of two devices"
    second.synchronize()
    return float(first.elapsed_time(second)) / 1000
