"""The bench of every test here, and an evaluator that starts no process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.evaluation import evaluate
from tests.evaluation.bench import Bench, InProcess, tokens


@pytest.fixture
def in_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sandbox = "none"
    monkeypatch.setattr(evaluate, "ServedModel", InProcess)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "tree").mkdir()
    (tmp_path / "run").mkdir()
    tokens(1500, seed=1).tofile(tmp_path / "visible.bin")
    tokens(700, seed=2).tofile(tmp_path / "hidden.bin")
    save_file({"nothing": np.zeros(1, np.float32)}, tmp_path / "run" / "weights.safetensors")
    return Bench(tmp_path)
