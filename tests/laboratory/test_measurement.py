"""The trusted evaluation as the laboratory asks for it: real processes, a tiny model, circle.toml's words."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.errors import TargetError
from agents.laboratory.measurement import Evaluator, ModelRefused
from agents.laboratory.process import Processes
from agents.laboratory.reports import ReportMissing
from agents.laboratory.sandbox import choose
from agents.ports import Order
from agents.settings import parse_target

VOCABULARY, LENGTH = 11, 8
TARGET = """
name = "tiny"
preset = "small"
paths = { editable = ["model.py"], training = ["model.py"] }
train = { command = ["true"] }
presets = { small = { train_tokens = 1, short_tokens = 1, sequence_length = 8 } }
[metric]
name = "val_loss"
direction = "min"
file = "metrics.json"
value = "val_loss"
weights = "weights/*.safetensors"
[evaluation]
model = "model:load"
settings = "settings.json"
tokens = { visible = "visible.bin", hidden = "hidden.bin" }
vocabulary = "manifest.json:size"
"""
MODEL = """
import json, torch
from safetensors.torch import load_file

def load(folder):
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert files == ["settings.json", "weights/model-2.safetensors"], files
    scale = json.load(open(folder / "settings.json"))["scale"]
    table = load_file(folder / "weights" / "model-2.safetensors")["table"]
    return lambda tokens: table[tokens] * scale + ahead(tokens)

def ahead(tokens):
    return 0
"""
LOOK_AHEAD = """
def ahead(tokens):
    return torch.nn.functional.one_hot(tokens.roll(-1, 1), 11)
"""


@pytest.fixture
def evaluator(tmp_path: Path) -> Evaluator:
    """An evaluator beside a tree, two splits, and what a run left: two weights files, of which the last counts."""
    tree, data, run = (tmp_path / name for name in ("tree", "data", "run"))
    for folder in (tree, data, run / "weights"):
        folder.mkdir(parents=True)
    (tree / "model.py").write_text(MODEL)
    (data / "manifest.json").write_text(json.dumps({"size": VOCABULARY}))
    chance = np.random.default_rng(0)
    for split, count in (("visible", 401), ("hidden", 161)):
        chance.integers(VOCABULARY, size=count).astype("<u2").tofile(data / f"{split}.bin")
    for name in ("model-1", "model-2"):
        table = chance.normal(size=(VOCABULARY, VOCABULARY)).astype(np.float32)
        save_file({"table": table}, run / "weights" / f"{name}.safetensors")
    (run / "settings.json").write_text('{"scale": 0.0}')
    (run / "settings.json.bak").write_text("left lying about")
    target = parse_target(TARGET, "circle.toml")
    return Evaluator(target, target.scale("small"), tree, data, "unseen", choose(False), Processes(), dict(os.environ))


def order(checked: bool = False, seed: int = 1) -> Order:
    return Order("experiment", "confirm", seed, "commit", 1, splits=("visible", "hidden"), checked=checked)


def test_a_run_is_measured_by_its_newest_weights_and_its_settings_alone(evaluator: Evaluator, tmp_path: Path) -> None:
    measured = evaluator.evaluate(order(checked=True), tmp_path / "tree", tmp_path / "run")
    assert measured.values == pytest.approx(dict.fromkeys(("visible", "hidden"), np.log(VOCABULARY)), abs=1e-6)
    assert measured.tokens_scored == 400 + 160
    assert measured.parameters == VOCABULARY**2
    assert not list(tmp_path.glob(".run-*"))


def test_a_look_ahead_is_refused_by_the_name_of_the_check(evaluator: Evaluator, tmp_path: Path) -> None:
    (tmp_path / "tree" / "model.py").write_text(MODEL + LOOK_AHEAD)
    with pytest.raises(ModelRefused, match="refused the model: not causal"):
        evaluator.evaluate(order(checked=True), tmp_path / "tree", tmp_path / "run")


def pickled(run: Path) -> None:
    (run / "weights" / "model-3.safetensors").write_bytes(pickle.dumps({"table": 1}))


def ambiguous(run: Path) -> None:
    (run / "settings.json").write_text('{"scale": 0.0, "scale": 9.0}')


def without_weights(run: Path) -> None:
    for file in (run / "weights").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pickled, "The weights model-3.safetensors are no safetensors file"),
        (ambiguous, "The run's settings settings.json are no JSON: a key comes twice"),
        (without_weights, "no file weights/\\*.safetensors was written"),
    ],
)
def test_what_cannot_be_handed_over_is_told_in_a_sentence(
    evaluator: Evaluator, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(tmp_path / "run")
    with pytest.raises(ReportMissing, match=words):
        evaluator.evaluate(order(), tmp_path / "tree", tmp_path / "run")


def test_what_is_drawn_is_one_for_both_arms_and_follows_from_what_no_run_knows(evaluator: Evaluator) -> None:
    other = Evaluator(**{**vars(evaluator), "secret": "another"})
    assert evaluator.chance_of(7) == evaluator.chance_of(7)
    assert len({evaluator.chance_of(7), evaluator.chance_of(8), other.chance_of(7)}) == 3


def test_a_model_without_weights_to_hand_over_is_no_target() -> None:
    with pytest.raises(TargetError, match=r"needs metric\.weights"):
        parse_target(TARGET.replace('weights = "weights/*.safetensors"', ""), "circle.toml")
