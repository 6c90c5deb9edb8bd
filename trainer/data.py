"""Prepared data: a corpus as token ids on disk, verified when read, and the order that training takes it in.

    DIR/open/    train.bin visible.bin tokenizer.json manifest.json   all that a training run reads
    DIR/hidden/  hidden.bin manifest.json                             for a confirmation, elsewhere

A long training split lies in train-00000.bin, train-00001.bin, ... instead; that of a served part (serve.py) holds
the windows of one run, in its order. `python -m trainer.data --output DIR [--preset NAME]` only prepares (prepare.py).
PROTECTED: what is measured depends on this module.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.config import Configs
from trainer.corpus import KJV, KJV_SHA256, corpus_sha256, read_documents
from trainer.errors import DataError
from trainer.seeds import generator
from trainer.stream import HUB, is_stream, local_stream

FORMAT = 1
MANIFEST, TOKENIZER = "manifest.json", "tokenizer.json"
Manifest = dict[str, Any]
Ids = npt.NDArray[np.integer[Any]]


class Tokens(Protocol):
    """The token ids of a split: an array of one dimension, or what is read like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """The ids at positions, an integer array of any shape, or of a slice."""

    def astype(self, dtype: Any, /) -> Any:
        """All ids in an array of their own."""


class Shards:
    """Arrays of token ids, one after another, read as one without ever being joined."""

    def __init__(self, arrays: Sequence[Ids]) -> None:
        self.arrays, self.dtype = arrays, arrays[0].dtype
        self.ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: npt.NDArray[np.integer[Any]] | slice) -> Ids:
        """The ids at positions 0 or above, an integer array of any shape, or of a slice. Raises IndexError."""
        positions = np.arange(*index.indices(len(self))) if isinstance(index, slice) else np.asarray(index)
        shards = np.searchsorted(self.ends, positions, side="right")
        if positions.size and (positions.min() < 0 or positions.max() >= len(self)):
            raise IndexError(f"positions from {positions.min()} to {positions.max()} in {len(self)} tokens")
        ids = np.empty(positions.shape, self.dtype)
        for shard in np.unique(shards):
            here, array = shards == shard, self.arrays[shard]
            ids[here] = array[positions[here] - (self.ends[shard] - len(array))]
        return ids

    def astype(self, dtype: npt.DTypeLike) -> Ids:
        """All ids in an array of their own."""
        return np.concatenate([array.astype(dtype) for array in self.arrays])


@dataclass(frozen=True)
class Served:
    """All the training tokens that one run may see: windows of `length` tokens and the one behind, in its order."""

    ids: Tokens
    length: int

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        return self.ids[index]

    def astype(self, dtype: npt.DTypeLike) -> Any:
        """All ids in an array of their own."""
        return self.ids.astype(dtype)

    def starts(self, batch_size: int, seq_len: int) -> Iterator[int]:
        """First positions of windows: of those that were drawn, or, for another length, of all ids cut anew.

        They end with the batch that takes the last token. What it lacks is filled with the first windows again.
        Raises DataError behind it.
        """
        trained = len(self) // (self.length + 1) * self.length
        batches = -(-trained // (batch_size * seq_len))
        starts = range(0, len(self) - seq_len, seq_len + (seq_len == self.length))
        yield from islice(cycle(starts), batches * batch_size)
        raise DataError(
            f"The {len(self)} tokens that were served to this run are spent after {batches} batches of {batch_size} "
            f"windows of {seq_len} tokens; take no more --train_tokens than were served."
        )


@dataclass(frozen=True)
class Part:
    """The open or the hidden half of prepared data: token ids of its splits, by name, and its manifest."""

    splits: dict[str, Tokens]
    manifest: Manifest


def load_data(configs: Configs) -> Part:
    """The open data of `data_dir`, or of the corpus, prepared once in `output_dir`. Raises DataError."""
    folder = Path(configs.data_dir) if configs.data_dir else prepared_corpus(configs)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the one that `python -m trainer.data` has written.")
    part = read_part(folder / "open", ("train", "visible"))
    if part.manifest["vocab_size"] != configs.vocab_size:
        raise DataError(
            f"The data in {folder} has a vocabulary of {part.manifest['vocab_size']}, not of --vocab_size "
            f"{configs.vocab_size}; give that number or prepare data for this one."
        )
    served = part.manifest.get("served")
    if served and served["seed"] != configs.seed:
        raise DataError(
            f"The data in {folder} was served to a run with --seed {served['seed']}, not {configs.seed}; "
            "give that seed or serve this one (python -m trainer.serve)."
        )
    tokens = len(part.splits["train"])
    if tokens < 2 * configs.max_seq_len:
        raise DataError(
            f"The training split has {tokens} tokens, too few for --max_seq_len {configs.max_seq_len}; "
            "give a larger corpus or shorter sequences."
        )
    return part


def prepared_corpus(configs: Configs) -> Path:
    """The folder of the prepared corpus below `output_dir`, filled at its first use. Raises DataError."""
    key = hashlib.sha256(":".join([str(FORMAT), *ingredients(configs)]).encode()).hexdigest()
    folder = Path(configs.output_dir) / ".cache" / key[:16]
    if not folder.exists():
        from trainer.prepare import prepare_corpus  # here, since prepared data needs no tokenizer

        prepare_corpus(folder, configs, configs.tokens_in_order)
    return folder


def ingredients(configs: Configs) -> list[str]:
    """What prepared data depends on, found without preparing it or asking the hub. Raises DataError."""
    corpus, vocabulary = Path(configs.corpus), str(configs.vocab_size)
    tokenizer = [configs.tokenizer] if configs.tokenizer else []
    if configs.corpus == KJV:
        return [KJV_SHA256, vocabulary, *tokenizer]
    if configs.corpus.startswith(HUB):
        return [configs.corpus, vocabulary, *tokenizer, str(configs.tokens_in_order)]
    if is_stream(corpus):
        return [json.dumps(local_stream(corpus).identity), vocabulary, *tokenizer, str(configs.tokens_in_order)]
    return [corpus_sha256(read_documents(corpus)), vocabulary, *tokenizer]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """How ids are stored: in 2 bytes where that is enough, else in 4."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_part(part: Path, names: Sequence[str]) -> Part:
    """Splits of DIR/open or DIR/hidden, every file checked against the manifest. Raises DataError."""
    remedy = f"delete {part.parent} and prepare it again."
    try:
        manifest = json.loads((part / MANIFEST).read_text(encoding="utf-8"))
        damaged = [name for name, digest in manifest["files"].items() if file_sha256(part / name) != digest]
        dtype = token_dtype(manifest["vocab_size"])
    except OSError as error:
        raise DataError(f"The data file {error.filename} cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"The data file {part / MANIFEST} is damaged; {remedy}") from error
    if damaged:
        raise DataError(f"The data file {part / damaged[0]} is damaged; {remedy}")
    if manifest["format"] != FORMAT:
        raise DataError(f"The data in {part} has format {manifest['format']}, not {FORMAT}; {remedy}")
    splits = {name: read_split(part, name, manifest["files"], dtype) for name in names}
    if "served" in manifest and "train" in splits:
        splits["train"] = Served(splits["train"], manifest["served"]["length"])
    return Part(splits, manifest)


def shard_name(split: str, number: int) -> str:
    """The file name of one of several shards."""
    return f"{split}-{number:05}.bin"


def read_split(part: Path, name: str, files: Sequence[str], dtype: np.dtype[Any]) -> Tokens:
    """The token ids of a split, mapped into memory: one file, or shards in the order of their names."""
    shards = [part / file for file in sorted(files) if re.fullmatch(rf"{name}(-\d+)?\.bin", file)]
    if not shards:
        raise DataError(f"The data in {part} has no split {name}; prepare it again.")
    arrays = [np.asarray(np.memmap(shard, dtype, mode="r")) for shard in shards]
    return arrays[0] if len(arrays) == 1 else Shards(arrays)


def write_manifest(folder: Path, about: Manifest, splits: dict[str, dict[str, int]]) -> None:
    """Writes the manifest that vouches for every file of the folder."""
    files = {file.name: file_sha256(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST}
    manifest = {**about, "splits": splits, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system refuses becomes a DataError, unless another process has put the folder there meanwhile."""
    try:
        yield
    except OSError as error:
        if not (folder / "open").exists():
            raise DataError(
                f"Data cannot be prepared in {folder} ({error.strerror or error}); choose a writable folder."
            ) from error


def training_batches(tokens: Tokens, batch_size: int, seq_len: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(inputs, targets), each [batch_size, seq_len] int64; targets are the next tokens.

    They are endless: an epoch takes every window of `seq_len` tokens once, in an order and from a phase that `seed`
    alone decides. Served tokens were drawn that way, are taken as they lie, and end. Raises DataError behind them.
    """
    if isinstance(tokens, Served):
        starts = tokens.starts(batch_size, seq_len)
    else:
        starts = window_starts(len(tokens), seq_len, generator(seed, "data order"))
    span = np.arange(seq_len + 1)
    while True:
        rows = np.fromiter(starts, np.int64, batch_size)
        windows = torch.from_numpy(tokens[rows[:, None] + span].astype(np.int64))
        yield windows[:, :-1], windows[:, 1:]


def window_starts(length: int, seq_len: int, stream: torch.Generator) -> Iterator[int]:
    """Endless first positions of windows: shuffled epochs of disjoint windows, shifted by a random phase."""
    while True:
        phase = int(torch.randint(seq_len, (), generator=stream))
        for window in torch.randperm((length - 1 - phase) // seq_len, generator=stream).tolist():
            yield phase + window * seq_len


if __name__ == "__main__":
    from trainer.prepare import main

    sys.exit(main(sys.argv[1:]))
