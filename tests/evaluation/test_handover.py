"""What reaches the model's process: copies of two files, and nothing else that a run left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.errors import LaboratoryError
from agents.evaluation.handover import hand_over

WEIGHTS, SETTINGS = "checkpoints/model.safetensors", "checkpoints/configs.json"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    save_file({"weight": np.ones((2, 3), np.float32)}, folder / WEIGHTS)
    (folder / SETTINGS).write_text('{"width": 3}')
    (folder / "checkpoints" / "cache.pt").write_bytes(b"answers")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "handed-over"
    folder.mkdir()
    return folder


def test_only_the_two_files_are_handed_over_and_as_copies(run: Path, place: Path) -> None:
    assert hand_over(run, WEIGHTS, SETTINGS, place) == 6
    files = {str(file.relative_to(place)): file for file in place.rglob("*") if file.is_file()}
    assert files.keys() == {WEIGHTS, SETTINGS}
    for name, file in files.items():
        assert file.read_bytes() == (run / name).read_bytes()
        assert not file.is_symlink()
        assert file.stat().st_nlink == 1
        assert not file.samefile(run / name)


def test_a_model_without_settings_gets_its_weights_alone(run: Path, place: Path) -> None:
    hand_over(run, WEIGHTS, "", place)
    assert [file.name for file in place.rglob("*") if file.is_file()] == ["model.safetensors"]


@pytest.mark.parametrize("name", [WEIGHTS, SETTINGS])
def test_a_link_is_not_followed(run: Path, place: Path, name: str) -> None:
    """Neither of the file itself nor of its folder."""
    elsewhere = run.parent / "elsewhere"
    (run / "checkpoints").rename(elsewhere)
    (run / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(LaboratoryError, match=r"The run left no file checkpoints/\S+ to hand over\."):
        hand_over(run, WEIGHTS, SETTINGS, place)
    (run / "checkpoints").unlink()
    elsewhere.rename(run / "checkpoints")
    secret = (run / name).rename(run.parent / "secret")
    (run / name).symlink_to(secret)
    with pytest.raises(LaboratoryError, match=f"The run left no file {name} to hand over"):
        hand_over(run, WEIGHTS, SETTINGS, place)


@pytest.mark.parametrize("name", [WEIGHTS, SETTINGS])
def test_a_pipe_or_nothing_is_no_file(run: Path, place: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(LaboratoryError, match=f"The run left no file {name}"):
        hand_over(run, WEIGHTS, SETTINGS, place)
    os.mkfifo(run / name)
    with pytest.raises(LaboratoryError, match=f"The run left no file {name}"):
        hand_over(run, WEIGHTS, SETTINGS, place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"width": 3, "width": 4}', "a key comes twice"),
        ("[3]", "no JSON object"),
        ("{", "no JSON: "),
        ("[" * 60_000, "no JSON: "),
        (json.dumps({"table": "x" * 70_000}), "has 70013 bytes: more than 65536 are not taken"),
    ],
    ids=["duplicate key", "list", "cut off", "deep", "long"],
)
def test_settings_are_a_small_json_object(run: Path, place: Path, text: str, words: str) -> None:
    (run / SETTINGS).write_text(text)
    with pytest.raises(LaboratoryError) as refusal:
        hand_over(run, WEIGHTS, SETTINGS, place)
    assert words in str(refusal.value)


def test_weights_larger_than_any_bound_are_not_copied(run: Path, place: Path) -> None:
    with (run / WEIGHTS).open("r+b") as stream:
        stream.truncate((1 << 33) + 1)
    with pytest.raises(LaboratoryError, match="more than 8589934592 are not taken"):
        hand_over(run, WEIGHTS, SETTINGS, place)
    assert not (place / WEIGHTS).exists()
