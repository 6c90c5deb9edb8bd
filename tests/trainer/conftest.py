"""Real data at smoke scale, prepared once, and real training on it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from trainer.config import PRESETS, Configs
from trainer.corpus import read_documents
from trainer.loop import train
from trainer.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
TINY = replace(PRESETS["smoke"], vocab_size=300, max_seq_len=32, batch_size=4, train_tokens=512, eval_every=2)


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    folder: Path
    metrics: dict[str, Any]

    @property
    def losses(self) -> list[float]:
        """The validation losses, in full."""
        losses: list[float] = self.metrics["history"]["val_losses"]
        return losses

    @property
    def weights_sha256(self) -> str:
        """The hash of the final weights."""
        return hashlib.sha256((self.folder / "checkpoints" / "model.safetensors").read_bytes()).hexdigest()


def result_of(folder: Path) -> Result:
    (metrics,) = (folder / "plots").glob("metrics_*.json")
    return Result(folder, json.loads(metrics.read_text()))


@pytest.fixture(scope="session")
def smoke_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default corpus, prepared for the smoke preset."""
    folder = tmp_path_factory.mktemp("smoke") / "data"
    prepare(folder, read_documents(None), PRESETS["smoke"].vocab_size)
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of eighty short documents, separated by blank lines."""
    words = ("the", "sea", "was", "calm", "and", "wind", "over", "hill", "sang", "old", "song", "again")
    documents = (" ".join(words[(i * i + 7 * j * i + j * j) % 12] for j in range(60)) + f" {i}" for i in range(80))
    path = tmp_path_factory.mktemp("tiny") / "corpus.txt"
    path.write_text("\n\n".join(documents))
    return path


@pytest.fixture(scope="session")
def tiny_data(tiny_corpus: Path) -> Path:
    """The tiny corpus, prepared for TINY."""
    folder = tiny_corpus.parent / "data"
    prepare(folder, read_documents(tiny_corpus), TINY.vocab_size)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_data: Path) -> Configs:
    """Settings of a run of four steps, which takes a tenth of a second."""
    return replace(TINY, data_dir=str(tiny_data))


@pytest.fixture
def train_tiny(tiny: Configs, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """Trains in this process with the tiny settings, some of them changed."""

    def run(**changes: Any) -> Result:
        folder = tmp_path_factory.mktemp("run")
        train(replace(tiny, **{"output_dir": str(folder), **changes}))
        return result_of(folder)

    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python train_llm.py` with flags, in a process of its own."""

    def run(
        *flags: str | Path, script: Path = ROOT / "train_llm.py", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(script), *map(str, flags)]
        return subprocess.run(
            words, env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run
