"""The weights of a run, written and read back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainer.checkpoint import deserialize, load_model, serialize
from trainer.config import Configs
from trainer.data import load_data
from trainer.errors import CheckpointError
from trainer.evaluation import evaluate


def test_the_safetensors_library_reads_the_file(tmp_path: Path) -> None:
    """Every shape, a scalar included."""
    tensors = {"b": torch.randn(3, 5), "a": torch.arange(4.0), "scalar": torch.tensor(2.0)}
    (tmp_path / "w.safetensors").write_bytes(serialize(tensors))
    read = load_file(tmp_path / "w.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert all(torch.equal(ours, tensors[name]) for name, ours in deserialize(serialize(tensors)).items())


def test_equal_weights_make_equal_files() -> None:
    """Whatever the order that they come in."""
    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    assert serialize(tensors) == serialize(dict(reversed(tensors.items())))


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": True}, {"qk_norm": False}, {"dtype": "float32"}])
def test_a_loaded_model_has_the_loss_that_was_measured(
    changes: dict[str, Any], tiny: Configs, train_tiny: Callable[..., Any]
) -> None:
    """To the last digit: same weights, same precision."""
    run = train_tiny(**changes)
    logits = load_model(run.folder)
    tokens = load_data(tiny).splits["visible"]
    shown = logits(torch.zeros(2, 8, dtype=torch.int64))
    assert shown.shape == (2, 8, tiny.vocab_size)
    assert shown.dtype == torch.float32
    assert evaluate(logits, tokens, tiny.max_seq_len, torch.device("cpu")).loss == run.losses[-1]


@pytest.mark.parametrize("name", ["configs.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"vocab_size": 3}', b"\xff" * 100])
def test_a_folder_without_a_whole_checkpoint_is_told_in_one_sentence(
    name: str, content: bytes | None, train_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    """Missing, empty, or something else."""
    shutil.copytree(train_tiny().folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "checkpoints" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not hold a run's checkpoint") as error:
        load_model(tmp_path)
    assert str(error.value).endswith("train it again.")
