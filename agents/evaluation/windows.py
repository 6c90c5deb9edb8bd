"""Token files as windows: inputs and the tokens that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from agents.errors import LaboratoryError

Ids = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class Windows:
    """Inputs and targets, each [N, T] int64; `splits` names the rows of each split."""

    inputs: Ids
    targets: Ids
    splits: dict[str, slice]

    def __len__(self) -> int:
        return len(self.inputs)


def read_windows(files: Mapping[str, Path], vocabulary: int, length: int, budget: int, seed: int) -> Windows:
    """Cut every file into windows of `length` inputs; each token but the first is a target once.

    Neighbours share the token on their border, and what is left after the last whole window is dropped. Where a
    split's float32 logits would take more than `budget` bytes, it is a sample of whole windows, the same for the
    same `seed`. A file is a flat array of little-endian uint16, or uint32 for vocabularies that need it. Raise
    LaboratoryError if one cannot be used.
    """
    most = max(1, budget // (4 * length * vocabulary))
    blocks, splits, rows = [], {}, 0
    for split, file in files.items():
        block = sliding_window_view(_read(file, vocabulary, length), length + 1)[::length]
        if len(block) > most:
            chance = np.random.default_rng([seed, *split.encode()])
            block = block[np.sort(chance.choice(len(block), most, replace=False))]
        blocks.append(block)
        splits[split] = slice(rows, rows + len(block))
        rows += len(block)
    whole = np.concatenate(blocks)
    return Windows(whole[:, :-1], whole[:, 1:], splits)


def _read(file: Path, vocabulary: int, length: int) -> Ids:
    dtype = np.dtype("<u2" if vocabulary <= 2**16 else "<u4")
    try:
        tokens = np.fromfile(file, dtype).astype(np.int64)
    except OSError as error:
        raise LaboratoryError(f"The tokens {file} cannot be read: {error.strerror}.") from error
    if len(tokens) <= length:
        raise LaboratoryError(f"{file} has {len(tokens)} tokens, too few for one window of {length}.")
    if tokens.max() >= vocabulary:
        raise LaboratoryError(f"{file} has token {tokens.max()}, outside the vocabulary of {vocabulary}.")
    return tokens
