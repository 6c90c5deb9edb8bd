"""Which tokens are scored: all of them, or a sample of whole windows that both arms of a pair share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.evaluation.windows import Windows, read_windows

VOCABULARY, LENGTH = 500, 16
WINDOW_BYTES = 4 * VOCABULARY * LENGTH


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {split: tmp_path / f"{split}.bin" for split in ("visible", "hidden")}
    for file in found.values():
        (np.arange(40 * LENGTH + 5) % VOCABULARY).astype("<u2").tofile(file)
    return found


def read(files: dict[str, Path], windows: int, seed: int = 1) -> Windows:
    return read_windows(files, VOCABULARY, LENGTH, windows * WINDOW_BYTES, seed)


def test_within_the_budget_every_token_but_the_first_is_a_target_once(files: dict[str, Path]) -> None:
    windows = read(files, 40)
    visible = np.fromfile(files["visible"], "<u2")
    for split, rows in windows.splits.items():
        assert np.array_equal(windows.inputs[rows].ravel(), visible[: 40 * LENGTH]), split
        assert np.array_equal(windows.targets[rows].ravel(), visible[1 : 40 * LENGTH + 1]), split


def test_beyond_it_a_seeded_sample_of_whole_windows_is_scored(files: dict[str, Path]) -> None:
    whole, sample = read(files, 40), read(files, 7)
    assert {split: rows.stop - rows.start for split, rows in sample.splits.items()} == {"visible": 7, "hidden": 7}
    all_rows = {tuple(row) for row in whole.inputs[whole.splits["hidden"]].tolist()}
    chosen = [tuple(row) for row in sample.inputs[sample.splits["hidden"]].tolist()]
    assert set(chosen) < all_rows
    assert len(set(chosen)) == 7
    assert np.array_equal(sample.inputs[:, 1:], sample.targets[:, :-1])


def test_the_sample_depends_on_the_seed_and_the_split_alone(files: dict[str, Path]) -> None:
    sample, again, other = read(files, 7), read(files, 7), read(files, 7, seed=2)
    assert np.array_equal(sample.inputs, again.inputs)
    assert not np.array_equal(sample.inputs, other.inputs)
    assert not np.array_equal(*(sample.inputs[rows] for rows in sample.splits.values()))
    alone = read({"hidden": files["hidden"]}, 7)
    assert np.array_equal(alone.inputs, sample.inputs[sample.splits["hidden"]])


def test_a_budget_below_one_window_scores_one(files: dict[str, Path]) -> None:
    assert len(read_windows(files, VOCABULARY, LENGTH, 1, 0)) == 2
