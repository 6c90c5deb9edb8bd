"""kill -9 at crash points, and damaged files: the session ends as the undisturbed one, or says what is lost.

`make test` tries a sample; `make test-all` each point at its first and last visit. The tables are printed by
`python -m benchmarks.crashes` and `python -m benchmarks.damage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.crashes import Crashes, Trial
from benchmarks.damage import tried, worlds_of

SAMPLE = 2
POINTS = (
    "session in place", "checkpoint saved", "writes done", "training before", "training started", "training ended",
    "run effect", "run done", "run recorded", "answer recorded", "reply effect", "reply done", "commit done",
    "ref before", "ref moved", "documents effect", "step effect", "summary written", ".1 in place",
)  # fmt: skip


@pytest.fixture(scope="module")
def crashes() -> Iterator[Crashes]:
    with TemporaryDirectory() as scratch:
        yield Crashes(Path(scratch))


def test_every_kind_of_moment_is_a_point(crashes: Crashes) -> None:
    """Durable writes, effects and questions to a researcher, before and after."""
    found = {point.rpartition(" #")[0] for points in crashes.points for point in points}
    assert [name for name in POINTS if not any(point.endswith(name) for point in found)] == []


def check(crashes: Crashes, trials: list[Trial]) -> None:
    for trial in trials:
        outcome = crashes.tried(trial)
        assert (outcome.differences, outcome.twice) == ((), 0), trial


def test_a_session_killed_anywhere_ends_the_same(crashes: Crashes) -> None:
    trials = crashes.trials(every=False)
    check(crashes, trials[:: len(trials) // SAMPLE])


@pytest.mark.long
def test_a_session_killed_everywhere_ends_the_same(crashes: Crashes) -> None:
    check(crashes, crashes.trials(every=False))


@pytest.mark.long
def test_a_session_killed_twice_ends_the_same(crashes: Crashes) -> None:
    check(crashes, crashes.doubles(40))


@pytest.mark.long
def test_three_hundred_damaged_files_are_told_or_mended(crashes: Crashes, tmp_path: Path) -> None:
    worlds = worlds_of(crashes, tmp_path)
    found = [tried(crashes, worlds, tmp_path, seed) for seed in range(300)]
    assert [damaged for damaged in found if damaged.outcome == "wrong"] == []
