"""A pair that nobody would believe fails the experiment, with the sentence that a person reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.nodes.trial import Trial
from agents.records import Arm, Baseline, Run
from agents.settings import Target, load_target
from tests.commands import TARGETS

LANGUAGE_MODEL, PLAIN = (load_target(root) for root in (Path(__file__).parents[1], TARGETS / "plain"))


def run(arm: Arm, seed: int, loss: float, weights: str) -> Run:
    return Run(
        key=f"{arm} {seed}", arm=arm, stage="confirm", seed=seed, commit="c", flags=(), train_tokens=9, status="done",
        hidden=loss, weights_sha256=weights,
    )  # fmt: skip


def trial(target: Target, new: Run, **counts: int) -> Trial:
    """A confirmation of one pair, as far as it concerns whether the pair is believed; `counts` are the baseline's."""
    old = run("baseline", 1, 3.5, "aa").model_copy(update=counts)
    other = run("baseline", 2, 3.5, "zz").model_copy(update={"stage": "floor"})
    floor = Baseline(
        metric="val_loss", direction="min", n=2, mean=3.5, std=0.01, key="k", reused=False, runs=(old, other)
    )
    one = Trial(cast(Any, SimpleNamespace(target=target)), {}, cast(Any, None), floor, runs=[old, new])
    one.pair_up([old], [new], "confirm")
    return one


def test_an_honest_gain_counts() -> None:
    honest = trial(LANGUAGE_MODEL, run("experiment", 1, 3.4, "bb"))
    assert honest.gains["confirm"] == [pytest.approx(0.1)]
    assert not honest.failed


@pytest.mark.parametrize(
    ("loss", "weights", "words"),
    [(1.2, "bb", "implausible, a person must look"), (3.4, "zz", "byte for byte, those of the baseline's floor run")],
    ids=["too good", "copied"],
)
def test_what_no_honest_run_does_is_refused_and_no_gain(loss: float, weights: str, words: str) -> None:
    held = trial(LANGUAGE_MODEL, run("experiment", 1, loss, weights))
    assert held.gains["confirm"] == []
    assert [one.status for one in held.failed] == ["refused"]
    assert words in (held.failed[0].error or "")


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"tokens_served": 10}, "it trained on 10 tokens"), ({"tokens_scored": 4}, "it was scored on 4 tokens")],
    ids=["training", "scoring"],
)
def test_a_pair_has_the_same_tokens(counts: dict[str, int], words: str) -> None:
    """To train on and to be scored on; a baseline whose tokens nobody counted is compared with nothing."""
    honest = run("experiment", 1, 3.4, "bb").model_copy(update=counts)
    assert not trial(LANGUAGE_MODEL, honest).failed
    counted = trial(LANGUAGE_MODEL, honest, tokens_served=9, tokens_scored=9)
    assert counted.gains["confirm"] == [] and words in (counted.failed[0].error or "")


def test_parameters_are_counted_in_both_arms() -> None:
    grown = run("experiment", 1, 3.4, "bb").model_copy(update={"parameters": 150})
    assert trial(LANGUAGE_MODEL, grown, parameters=100).parameter_ratio == 1.5
    assert trial(LANGUAGE_MODEL, grown).parameter_ratio is None


def test_the_ceiling_is_a_language_models() -> None:
    assert not trial(PLAIN, run("experiment", 1, 0.1, "bb")).failed
