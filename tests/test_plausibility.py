"""The ceiling of a gain, and weights that are another run's."""

from __future__ import annotations

import pytest

from agents.plausibility import copied, implausible
from agents.records import Arm, Run


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


def run(arm: Arm, seed: int, weights: str | None) -> Run:
    return Run(
        key=f"{arm} {seed}", arm=arm, stage="screen", seed=seed, commit="c", flags=(), train_tokens=9, status="done",
        weights_sha256=weights,
    )  # fmt: skip


def test_weights_of_another_run_are_told_whatever_its_arm_and_seed() -> None:
    new = run("experiment", 1, "aa")
    assert copied(new, [run("baseline", 1, "bb"), run("experiment", 2, "cc"), new]) is None
    twins = [run("baseline", 1, "aa"), run("experiment", 2, "aa")]
    assert copied(new, twins[:1]) == "its weights are, byte for byte, those of the baseline's run with seed 1"
    assert copied(new, twins[1:]) == "its weights are, byte for byte, those of the experiment's run with seed 2"
    assert copied(run("experiment", 1, None), [run("baseline", 1, None)]) is None
