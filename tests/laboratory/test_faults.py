"""What counts as the machine's fault: only what the parent can prove."""

from __future__ import annotations

from typing import Any

import pytest

from agents.laboratory.faults import machine_fault
from agents.laboratory.process import Ended


def ended(**changes: Any) -> Ended:
    nothing: dict[str, Any] = {"steps": (), "losses": (), "tail": (), "seconds_per_step": None}
    nothing |= {"cpu_seconds": None, "exceeded": None}
    nothing |= {"timed_out": False, "seconds": 1.0, "peak_memory_bytes": None, "memory_kills": 0, "unwritten": ""}
    return Ended(**(nothing | changes))


@pytest.mark.parametrize(
    ("changes", "out_of_reach", "words"),
    [
        ({"returncode": 0}, True, None),
        ({"returncode": 1}, True, None),
        ({"returncode": 137}, True, None),
        ({"returncode": -9, "timed_out": True}, True, None),
        ({"returncode": -9, "timed_out": True, "memory_kills": 1}, True, None),
        ({"returncode": -9, "exceeded": "the run used too much and was ended"}, True, None),
        ({"returncode": -9}, False, None),
        ({"returncode": -7}, False, None),
        ({"returncode": 1, "memory_kills": 1}, True, None),
        ({"returncode": -9}, True, "SIGKILL from outside"),
        ({"returncode": -7}, True, "SIGBUS from outside"),
        ({"returncode": 137, "memory_kills": 1}, True, "out of memory"),
        ({"returncode": -9, "memory_kills": 2}, False, "out of memory"),
        ({"returncode": -9, "unseen": True}, False, "that watched it was killed"),
        ({"returncode": -9, "unwritten": "No space left on device"}, False, "No space left"),
    ],
)
def test_what_the_machine_did(changes: dict[str, Any], out_of_reach: bool, words: str | None) -> None:
    """A kill that a run could have sent itself, a timeout and a crash are its own."""
    fault = machine_fault(ended(**changes), out_of_reach=out_of_reach)
    assert (fault is None) == (words is None)
    assert words is None or words in str(fault)
