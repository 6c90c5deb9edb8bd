"""The ceiling of a gain, weights that are another run's, and work that was not done."""

from __future__ import annotations

from typing import Any

import pytest

from agents.plausibility import copied, implausible, too_little_work
from agents.records import Run


@pytest.mark.parametrize(
    ("experiment", "sigma", "held"),
    [
        (3.4, 0.008, False),
        (3.16, 0.008, False),
        (3.14, 0.008, True),
        (3.14, 0.02, False),
        (0.0, 0.1, True),
        (3.6, 0.0, False),
    ],
    ids=["good", "just below a tenth", "both", "few sigma", "perfect", "worse"],
)
def test_a_gain_beyond_both_bounds_is_held(experiment: float, sigma: float, held: bool) -> None:
    assert (implausible(3.5, experiment, sigma) is not None) is held


def test_the_sentence_has_the_numbers() -> None:
    assert implausible(3.5, 1.75, 0.01) == (
        "implausible, a person must look: 1.7500 against 3.5000 is a gain of 175 sigma and 50% of the loss"
    )


def run(**changes: Any) -> Run:
    common = {"key": "k", "arm": "experiment", "stage": "screen", "seed": 1, "commit": "c", "flags": ()}
    measured = {"train_tokens": 1000, "status": "done", "steps": 10, "cpu_seconds": 10.0, "train_seconds": 20.0}
    return Run.model_validate(common | measured | {"weights_sha256": "w"} | changes)


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, False),
        ({"arm": "baseline", "stage": "floor"}, False),
        ({"seed": 2}, True),
        ({"train_tokens": 1250}, True),
        ({"seed": 2, "weights_sha256": "v"}, False),
        ({"seed": 2, "weights_sha256": None}, False),
    ],
)
def test_weights_of_another_seed_or_length_are_copied(changes: dict[str, Any], held: bool) -> None:
    """Byte for byte; without a weights file nobody knows."""
    other = run(**changes)
    said = copied(run(), [other])
    assert (said is not None) == held and copied(run(weights_sha256=None), [other]) is None
    if said:
        assert said == f"its weights are, byte for byte, those of the experiment's screen run with seed {other.seed}"


BASELINES = [run(arm="baseline", seed=seed, cpu_seconds=9.0 + seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"cpu_seconds": 1.9, "train_seconds": 2.0}, True),
        ({"cpu_seconds": 1.9}, False),
        ({"cpu_seconds": 2.0, "train_seconds": 2.0}, False),
        ({"cpu_seconds": 0.1, "train_seconds": 0.1, "steps": 2}, False),
        ({"cpu_seconds": 0.1, "train_seconds": 0.1, "train_tokens": 500}, False),
        ({"cpu_seconds": 0.1, "train_seconds": 0.1, "stage": "timing"}, False),
        ({"cpu_seconds": 0.1, "train_seconds": 0.1, "status": "crashed"}, False),
    ],
)
def test_steps_without_their_work_are_a_warning(changes: dict[str, Any], warned: bool) -> None:
    """Both clocks must say so: a GPU's run takes few seconds of the processor, and a crowded machine stretches time."""
    said = too_little_work(run(**changes), BASELINES)
    assert (said is not None) == warned
    if said:
        assert said == "the run with seed 1 took 1.9 CPU seconds for what takes the baseline 10.0"
