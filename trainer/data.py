"""Prepared data: a corpus as token ids on disk, verified when read, and the order that training takes it in.

    DIR/open/    train.bin visible.bin tokenizer.json manifest.json   all that a training run reads
    DIR/hidden/  hidden.bin manifest.json                             for a confirmation, elsewhere

`python -m trainer.data --output DIR [--preset NAME] [--corpus PATH] [--vocab_size N]` only prepares.
PROTECTED: what is measured depends on this module.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from trainer.config import PRESETS, Configs
from trainer.corpus import Splits, corpus_sha256, read_documents, split_documents
from trainer.errors import DataError, TrainerError
from trainer.seeds import generator

FORMAT = 1
SEPARATOR = "<|endoftext|>"  # stands before every document
MANIFEST = "manifest.json"
Manifest = dict[str, Any]
Tokens = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Part:
    """The open or the hidden half of prepared data: token ids of its splits, by name, and its manifest."""

    splits: dict[str, Tokens]
    manifest: Manifest


def load_data(configs: Configs) -> Part:
    """The open data of `data_dir`, or of the corpus, prepared once in `output_dir`. Raises DataError."""
    folder = Path(configs.data_dir) if configs.data_dir else prepared_corpus(configs)
    part = read_part(folder / "open", ("train", "visible"))
    if part.manifest["vocab_size"] != configs.vocab_size:
        raise DataError(
            f"The data in {folder} has a vocabulary of {part.manifest['vocab_size']}, not of --vocab_size "
            f"{configs.vocab_size}; give that number or prepare data for this one."
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
    documents = read_documents(Path(configs.corpus) if configs.corpus else None)
    key = hashlib.sha256(f"{FORMAT}:{corpus_sha256(documents)}:{configs.vocab_size}".encode()).hexdigest()
    folder = Path(configs.output_dir) / ".cache" / key[:16]
    if not folder.exists():
        prepare(folder, documents, configs.vocab_size)
    return folder


def prepare(folder: Path, documents: Sequence[str], vocab_size: int) -> None:
    """Splits, trains the tokenizer on the training split, and writes `folder` whole or not at all.

    If another process has put the folder there meanwhile, that one stays. Raises DataError.
    """
    splits = split_documents(documents)
    tokenizer = train_tokenizer(splits["train"], vocab_size)
    hidden = {"hidden": splits.pop("hidden")}
    about: Manifest = {"format": FORMAT, "corpus_sha256": corpus_sha256(documents), "vocab_size": vocab_size}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            draft = Path(scratch) / folder.name
            (draft / "open").mkdir(parents=True)
            tokenizer.save(str(draft / "open" / "tokenizer.json"))
            write_part(draft / "open", tokenizer, splits, about)
            (draft / "hidden").mkdir()
            write_part(draft / "hidden", tokenizer, hidden, about)
            draft.rename(folder)
    except OSError as error:
        if not (folder / "open").exists():
            raise DataError(
                f"Data cannot be prepared in {folder} ({error.strerror}); choose a writable folder."
            ) from error


def train_tokenizer(documents: Sequence[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer (arXiv 1508.07909): the separator, 256 bytes, merges up to `vocab_size`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    recipe = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, recipe)
    return tokenizer


def write_part(folder: Path, tokenizer: Tokenizer, splits: Splits, about: Manifest) -> None:
    """Writes each split as little-endian token ids, and the manifest that vouches for the folder's files."""
    counts = {}
    for name, documents in splits.items():
        encoded = tokenizer.encode_batch_fast([SEPARATOR + document for document in documents])
        ids = np.array([token for document in encoded for token in document.ids])
        ids.astype(token_dtype(about["vocab_size"])).tofile(folder / f"{name}.bin")
        text_bytes = sum(len(document.encode()) for document in documents)
        counts[name] = {"documents": len(documents), "tokens": len(ids), "text_bytes": text_bytes}
    files = {file.name: file_sha256(file) for file in sorted(folder.iterdir())}
    manifest = {**about, "splits": counts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


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
        splits = {name: np.fromfile(part / f"{name}.bin", dtype) for name in names}
    except OSError as error:
        raise DataError(f"The data file {error.filename} cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"The data file {part / MANIFEST} is damaged; {remedy}") from error
    if damaged:
        raise DataError(f"The data file {part / damaged[0]} is damaged; {remedy}")
    if manifest["format"] != FORMAT:
        raise DataError(f"The data in {part} has format {manifest['format']}, not {FORMAT}; {remedy}")
    return Part(splits, manifest)


def training_batches(tokens: Tokens, batch_size: int, seq_len: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (inputs, targets), each [batch_size, seq_len] int64; targets are the next tokens.

    An epoch takes every window of `seq_len` tokens once, in an order and from a phase that `seed` alone decides.
    """
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


def main(argv: Sequence[str]) -> int:
    """Prepares data for later runs; 0, or 1 after one sentence about what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m trainer.data", description="Prepare training data.")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; it must not exist")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="whose vocabulary size to take")
    parser.add_argument("--corpus", type=Path, help="a plain text file (default: the King James Bible)")
    parser.add_argument("--vocab_size", type=int, help="another vocabulary size")
    args = parser.parse_args(argv)
    preset = PRESETS[args.preset]
    try:
        configs = replace(preset, vocab_size=args.vocab_size or preset.vocab_size)
        if args.output.exists():
            raise DataError(f"{args.output} exists already; name a new folder.")
        prepare(args.output, read_documents(args.corpus), configs.vocab_size)
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 1
    part = read_part(args.output / "open", ("train", "visible"))
    print(
        f"prepared {args.output}: " + ", ".join(f"{len(ids)} {name}" for name, ids in part.splits.items()) + " tokens"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
