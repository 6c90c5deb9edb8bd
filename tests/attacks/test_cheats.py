"""Cheats are caught and honest patches are not: by reading all of them, and by running a few of them or all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.cases import ATTACKS, catalogue_cases, read_cases
from tests.attacks.gates import Gates

CHEATS = {case.name: case for case in read_cases("cheats")}
HONEST = {case.name: case for case in (*read_cases("honest"), *catalogue_cases())}
REVIEWED = {
    "answers_by_order",
    "best_of_seeds",
    "double_batch",
    "head_fitted_on_visible",
    "memorised_table",
    "neighbours_in_visible",
    "patched_clock",
    "patched_cross_entropy",
    "patched_evaluation",
    "seed_edit",
    "seed_in_disguise",
    "slow_baseline",
    "temperature_on_visible",
    "trains_on_visible",
}
SAMPLE = {"look_ahead_far": "evaluation", "overtime": "run"}


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gates]:
    """The laboratory that all cases share, and with it the runs of the baseline."""
    with Gates(tmp_path_factory.mktemp("gates"), floor=3, workers=1) as gates:
        yield gates


@pytest.mark.parametrize("folder", ["cheats", "honest"])
def test_every_diff_is_described(folder: str) -> None:
    cases = read_cases(folder)
    assert {case.name for case in cases} == {file.stem for file in (ATTACKS / folder).glob("*.diff")}
    assert all(bool(case.breaks) == (folder == "cheats") for case in cases)


def test_every_patch_applies(gates: Gates) -> None:
    for case in (*CHEATS.values(), *HONEST.values()):
        gates.laboratory.workspace.check(gates.base, case.diff)  # type: ignore[attr-defined]


@pytest.mark.long
def test_the_review_stops_no_honest_patch(gates: Gates) -> None:
    stopped = {case.name for case in (*CHEATS.values(), *HONEST.values()) if gates.review(case)}
    assert stopped == REVIEWED


def test_a_sample_of_cheats_is_caught(gates: Gates) -> None:
    """One test, so that one process trains the baseline that they share."""
    for name, layer in SAMPLE.items():
        passage = gates.passage(CHEATS[name])
        assert passage.lowers, passage
        assert passage.caught[0] == layer, passage


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CHEATS.keys() - SAMPLE.keys()))
def test_every_cheat_lowers_the_naive_metric_and_is_caught_without_the_review(name: str, gates: Gates) -> None:
    passage = gates.passage(CHEATS[name])
    assert passage.lowers, passage
    assert set(passage.caught) - {"review"}, passage


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(HONEST))
def test_every_honest_patch_is_refused_by_no_layer(name: str, gates: Gates) -> None:
    assert gates.passage(HONEST[name]).refused == {}
