"""Prepared data: what lies where, what is verified, and the order of training."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.config import Configs
from trainer.data import Shards, load_data, read_part, training_batches
from trainer.errors import DataError

ROOT = Path(__file__).parents[2]
OPEN_FILES = {"manifest.json", "tokenizer.json", "train.bin", "visible.bin"}


def test_the_layout(tiny_data: Path) -> None:
    """Open and hidden halves, each with a manifest that vouches for its files."""
    assert {file.name for file in (tiny_data / "open").iterdir()} == OPEN_FILES
    assert {file.name for file in (tiny_data / "hidden").iterdir()} == {"manifest.json", "hidden.bin"}
    manifest = read_part(tiny_data / "open", ("train", "visible")).manifest
    assert manifest["files"].keys() == OPEN_FILES - {"manifest.json"}
    assert manifest["vocab_size"] == 300
    assert manifest["splits"].keys() == {"train", "visible"}


def damage(file: Path) -> Callable[[Path], None]:
    """Truncates, flips a byte of, empties or removes a file, by its name's ending."""
    actions: dict[str, Callable[[Path], Any]] = {
        "cut": lambda path: path.write_bytes(path.read_bytes()[:-2]),
        "flip": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        "empty": lambda path: path.write_bytes(b""),
        "remove": Path.unlink,
    }
    return lambda folder: actions[file.name](folder / file.parent)


@pytest.mark.parametrize("name", sorted(OPEN_FILES))
@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "remove"])
def test_damaged_data_is_told_in_one_sentence(name: str, harm: str, tiny: Configs, tmp_path: Path) -> None:
    """Whatever the file and the harm: its path, and what to do."""
    shutil.copytree(str(tiny.data_dir), tmp_path / "data")
    damage(Path(name) / harm)(tmp_path / "data" / "open")
    with pytest.raises(DataError) as error:
        load_data(replace(tiny, data_dir=str(tmp_path / "data")))
    sentence = str(error.value)
    assert str(tmp_path / "data" / "open" / name) in sentence
    assert sentence.endswith(f"delete {tmp_path / 'data'} and prepare it again.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_dir": "/nowhere"}, "There is no folder /nowhere"),
        ({"vocab_size": 400}, "has a vocabulary of 300, not of --vocab_size 400"),
        ({"max_seq_len": 100_000}, "too few for --max_seq_len 100000"),
        ({"data_dir": None, "corpus": "/nowhere.txt"}, "cannot be read"),
    ],
)
def test_data_that_does_not_fit_is_told_in_one_sentence(changes: dict[str, Any], words: str, tiny: Configs) -> None:
    """Before anything is trained."""
    with pytest.raises(DataError, match=words):
        load_data(replace(tiny, **changes))


def test_a_corpus_is_prepared_once_below_the_output(tiny: Configs, tiny_corpus: Path, tmp_path: Path) -> None:
    """And again for another vocabulary; the second use reads what the first wrote."""
    configs = replace(tiny, data_dir=None, corpus=str(tiny_corpus), output_dir=str(tmp_path))
    first = load_data(configs)
    (cache,) = (tmp_path / ".cache").iterdir()
    written = cache.stat().st_mtime_ns
    assert load_data(configs).manifest == first.manifest
    assert cache.stat().st_mtime_ns == written
    load_data(replace(configs, vocab_size=310))
    assert len(list((tmp_path / ".cache").iterdir())) == 2


def test_batches_are_windows_with_the_next_tokens() -> None:
    """Each target is the token after its input."""
    tokens = np.arange(1000, dtype=np.uint16)
    inputs, targets = next(training_batches(tokens, 4, 16, 0))
    assert inputs.shape == targets.shape == (4, 16)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs + 1, targets)
    assert torch.equal(inputs[:, :1] + torch.arange(16), inputs)


def test_an_epoch_takes_every_window_once() -> None:
    """Disjoint windows which cover the split but for its ends; the next epoch cuts them elsewhere."""
    tokens = np.arange(16 * 20 + 1, dtype=np.uint16)
    starts = [int(inputs[0, 0]) for inputs, _ in islice(training_batches(tokens, 1, 16, 3), 40)]
    phase = starts[0] % 16
    epoch = [start for start in starts if start % 16 == phase]
    assert starts[: len(epoch)] == epoch
    assert sorted(epoch) == list(range(phase, 16 * 20 - 15, 16))
    assert epoch != sorted(epoch)
    assert starts[len(epoch)] % 16 != phase


def test_the_order_depends_on_the_seed_alone() -> None:
    """Not on the state of torch's global generator; another seed gives another order."""
    tokens = np.arange(1000, dtype=np.uint16)

    def order(seed: int) -> list[int]:
        return torch.cat([inputs for inputs, _ in islice(training_batches(tokens, 2, 16, seed), 10)]).tolist()

    first = order(5)
    torch.rand(3)
    assert order(5) == first != order(6)


@pytest.mark.parametrize("sizes", [(1000,), (400, 600), (1, 333, 333, 333), (64,) * 15 + (40,)])
def test_shards_are_read_as_one(sizes: tuple[int, ...]) -> None:
    """Positions of any shape, slices, all at once, and batches across their borders."""
    whole = np.random.default_rng(0).integers(0, 300, sum(sizes)).astype(np.uint16)
    shards = Shards(np.split(whole, np.cumsum(sizes)[:-1]))
    positions = np.random.default_rng(1).integers(0, len(whole), (7, 5, 3))
    assert len(shards) == len(whole)
    assert np.array_equal(shards[positions], whole[positions])
    assert np.array_equal(shards[positions[:0]], whole[positions[:0]])
    assert np.array_equal(shards[350:700:3], whole[350:700:3])
    assert np.array_equal(shards.astype(np.int64), whole.astype(np.int64))
    for (one, _), (other, _) in islice(zip(*(training_batches(t, 4, 16, 0) for t in (whole, shards)), strict=True), 40):
        assert torch.equal(one, other)


@pytest.mark.parametrize("position", [-1, 1000])
def test_no_position_outside_the_shards_is_read(position: int) -> None:
    """It would silently be another token."""
    shards = Shards([np.zeros(500, np.uint16)] * 2)
    with pytest.raises(IndexError, match=f"positions from {position} to {position} in 1000 tokens"):
        shards[np.array([position])]


def test_reading_imports_nothing_that_preparing_needs(tiny: Configs) -> None:
    """Nor does it keep the training split in memory: the file is mapped."""
    script = (
        "import sys; before = set(sys.modules)\n"
        "from dataclasses import replace; from trainer.config import PRESETS; import trainer.data as data\n"
        "part = data.load_data(replace(PRESETS['smoke'], vocab_size=300, data_dir=sys.argv[1]))\n"
        "print(type(part.splits['train'].base).__name__, {'tokenizers', 'sqlite3'} & (sys.modules.keys() - before))\n"
    )
    words = [sys.executable, "-c", script, str(tiny.data_dir)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "memmap set()\n"
