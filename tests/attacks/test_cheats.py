"""Cheats are caught and honest patches are not: by reading them all, and by running them, a few or all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.gates import ATTACKS, Gates, catalogue_cases, read_cases

CHEATS = {case.name: case for case in read_cases("cheats")}
HONEST = {case.name: case for case in (*read_cases("honest"), *catalogue_cases())}
READ = {
    "patched_evaluation",
    "patched_cross_entropy",
    "seed_edit",
    "best_of_seeds",
    "double_batch",
    "patched_clock",
    "slow_baseline",
    "trains_on_visible",
}
SAMPLE = {"lower_metric": "regression", "look_ahead_far": "evaluation", "memorised_table": "hidden split"}
HONEST_SAMPLE = ("multi_token_prediction", "local-mixing/smear")


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gates]:
    """The laboratory that all cases share, and with it the runs of the baseline."""
    with Gates(tmp_path_factory.mktemp("gates"), floor=4) as gates:
        yield gates


@pytest.mark.parametrize("folder", ["cheats", "honest"])
def test_every_diff_is_described(folder: str) -> None:
    cases = read_cases(folder)
    assert {case.name for case in cases} == {file.stem for file in (ATTACKS / folder).glob("*.diff")}
    assert all(bool(case.breaks) == (folder == "cheats") for case in cases)
    assert len(cases if folder == "cheats" else HONEST) >= 25


def test_every_patch_applies_and_the_review_stops_no_honest_one(gates: Gates) -> None:
    stopped = {case.name for case in (*CHEATS.values(), *HONEST.values()) if gates.review(case)}
    assert stopped == READ


@pytest.mark.parametrize(("name", "layer"), SAMPLE.items())
def test_a_cheat_lowers_the_naive_metric_and_is_caught(name: str, layer: str, gates: Gates) -> None:
    passage = gates.passage(CHEATS[name])
    assert passage.lowers
    assert passage.caught[0] == layer


@pytest.mark.parametrize("name", HONEST_SAMPLE)
def test_an_honest_patch_is_refused_by_no_layer(name: str, gates: Gates) -> None:
    assert gates.passage(HONEST[name]).refused == {}


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CHEATS.keys() - SAMPLE.keys()))
def test_every_cheat_lowers_the_naive_metric_and_is_caught_without_the_review(name: str, gates: Gates) -> None:
    passage = gates.passage(CHEATS[name])
    assert passage.lowers, passage.naive
    assert set(passage.caught) - {"review"} or name in READ_ONLY, passage


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(HONEST.keys() - set(HONEST_SAMPLE)))
def test_every_honest_patch_is_refused_by_no_layer(name: str, gates: Gates) -> None:
    assert gates.passage(HONEST[name]).refused == {}
