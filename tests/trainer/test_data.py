"""Prepared data: what lies where, what is verified, and the order of training."""

import json
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
from tokenizers import Tokenizer

from trainer.config import Configs
from trainer.corpus import read_documents, split_documents
from trainer.data import load_data, prepare, read_part, training_batches
from trainer.errors import DataError

OPEN_FILES = {"manifest.json", "tokenizer.json", "train.bin", "visible.bin"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_layout(tiny_data: Path) -> None:
    """Open and hidden halves, each with a manifest that vouches for its files."""
    assert {file.name for file in (tiny_data / "open").iterdir()} == OPEN_FILES
    assert {file.name for file in (tiny_data / "hidden").iterdir()} == {"manifest.json", "hidden.bin"}
    manifest = read_part(tiny_data / "open", ("train", "visible")).manifest
    assert manifest["files"].keys() == OPEN_FILES - {"manifest.json"}
    assert manifest["vocab_size"] == 300
    assert manifest["splits"].keys() == {"train", "visible"}


def test_the_tokens_are_the_text(tiny_data: Path, tiny_corpus: Path) -> None:
    """Decoded, each split is its documents, and the manifest's counts are right."""
    tokenizer = Tokenizer.from_file(str(tiny_data / "open" / "tokenizer.json"))
    for name, documents in split_documents(read_documents(tiny_corpus)).items():
        part = read_part(tiny_data / ("hidden" if name == "hidden" else "open"), (name,))
        ids = part.splits[name]
        assert tokenizer.decode(ids.tolist(), skip_special_tokens=False).split("<|endoftext|>")[1:] == documents
        text_bytes = sum(len(document.encode()) for document in documents)
        counts = {"documents": len(documents), "tokens": len(ids), "text_bytes": text_bytes}
        assert part.manifest["splits"][name] == counts


def test_nothing_hidden_is_open(smoke_data: Path) -> None:
    """No 32 tokens in a row of the hidden split, and no long line of its text, are to be found among open files."""
    hidden = read_part(smoke_data / "hidden", ("hidden",)).splits["hidden"]
    pieces = [hidden[i : i + 32].tobytes() for i in range(0, len(hidden) - 32, 32)]
    lines = [
        line.encode()
        for document in split_documents(read_documents(None))["hidden"]
        for line in document.splitlines()
        if len(line) >= 60
    ]
    assert len(pieces) > 1000 < len(lines)
    for name, content in files_of(smoke_data / "open").items():
        assert not any(piece in content for piece in pieces[::20]), name
        assert not any(line in content for line in lines), name


def test_the_tokenizer_knows_the_training_split_alone(tmp_path: Path, tiny_corpus: Path) -> None:
    """Other validation text, same tokenizer and same training tokens."""
    documents = read_documents(tiny_corpus)
    train = split_documents(documents)["train"]
    extra = [word * 20 for word in ("quartz", "fjord", "glyph", "vexing", "sphinx", "jumbo")]
    kept = [d for d in extra * 30 if d not in split_documents([*documents, *extra])["train"]]
    assert kept
    prepare(tmp_path / "a", documents, 300)
    prepare(tmp_path / "b", [*documents, *kept], 300)
    assert split_documents([*documents, *kept])["train"] == train
    for name in ("tokenizer.json", "train.bin"):
        assert (tmp_path / "a" / "open" / name).read_bytes() == (tmp_path / "b" / "open" / name).read_bytes()


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path, tiny_data: Path, tiny_corpus: Path) -> None:
    """File by file."""
    prepare(tmp_path / "again", read_documents(tiny_corpus), 300)
    assert files_of(tmp_path / "again") == files_of(tiny_data)


def test_large_vocabularies_take_four_bytes(tmp_path: Path, tiny_corpus: Path) -> None:
    """And read back as they were."""
    prepare(tmp_path / "data", read_documents(tiny_corpus), 70_000)
    part = read_part(tmp_path / "data" / "open", ("train",))
    assert part.splits["train"].dtype == np.dtype("<u4")
    assert part.splits["train"].max() < 70_000


def test_a_failed_preparation_leaves_nothing(tmp_path: Path) -> None:
    """Neither the folder nor a draft."""
    with pytest.raises(DataError):
        prepare(tmp_path / "data", ["one document"], 300)
    assert not list(tmp_path.iterdir())


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
        ({"data_dir": "/nowhere"}, "cannot be read"),
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


def test_the_command_prepares_data(tiny_corpus: Path, tiny_data: Path, tmp_path: Path) -> None:
    """The same bytes as a run would prepare; a folder that exists is refused."""
    words = [sys.executable, "-m", "trainer.data", "--output", tmp_path / "data", "--corpus", tiny_corpus]
    root = Path(__file__).parents[2]
    done = subprocess.run([*words, "--vocab_size", "300"], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"prepared {tmp_path / 'data'}: ")
    assert files_of(tmp_path / "data") == files_of(tiny_data)
    again = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr == f"{tmp_path / 'data'} exists already; name a new folder.\n"


def test_the_manifest_is_plain_json(tiny_data: Path) -> None:
    """With the hash of the corpus in both halves."""
    halves = [json.loads((tiny_data / half / "manifest.json").read_text()) for half in ("open", "hidden")]
    assert halves[0]["corpus_sha256"] == halves[1]["corpus_sha256"]
