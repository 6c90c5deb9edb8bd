"""Tokenizers, trained on the training text or taken as published, and the token files that they write.

PROTECTED: what is measured depends on this module.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trainer.data import Ids, token_dtype
from trainer.errors import DataError
from trainer.hub import hub_tokenizer
from trainer.split import Splits
from trainer.stream import HUB

SEPARATOR = "<|endoftext|>"  # stands before every document
DOCUMENTS_AT_ONCE = 256  # tokenized together


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> Tokenizer:
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


def load_tokenizer(name: str, vocab_size: int) -> Tokenizer:
    """The tokenizer of a tokenizer.json, or of `hf:NAME` on the hub, for at most `vocab_size` ids. Raises DataError."""
    path = hub_tokenizer(name) if name.startswith(HUB) else Path(name)
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise DataError(f"The tokenizer {name} cannot be read ({error.strerror}); give a tokenizer.json.") from error
    except ValueError as error:
        raise DataError(f"The tokenizer {name} is no valid tokenizer.json ({error}); give another.") from error
    if tokenizer.token_to_id(SEPARATOR) is None:
        raise DataError(f"The tokenizer {name} has no token {SEPARATOR} to separate documents; give another.")
    if (size := tokenizer.get_vocab_size()) > vocab_size:
        raise DataError(
            f"The tokenizer {name} has {size} tokens, more than --vocab_size {vocab_size}; give that number."
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Tokenizer, documents: Iterable[str], vocab_size: int) -> Iterator[Ids]:
    """The ids of each document, behind those of the separator, as they are stored; on all cores."""
    remaining, dtype = iter(documents), token_dtype(vocab_size)
    while batch := [SEPARATOR + document for document in islice(remaining, DOCUMENTS_AT_ONCE)]:
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array(encoding.ids, dtype)


def write_splits(folder: Path, tokenizer: Tokenizer, splits: Splits, vocab_size: int) -> dict[str, dict[str, int]]:
    """Writes each split as one file of little-endian token ids; their counts."""
    counts = {}
    for name, documents in splits.items():
        ids = np.concatenate(list(encode(tokenizer, documents, vocab_size)))
        (folder / f"{name}.bin").write_bytes(ids.tobytes())
        text_bytes = sum(len(document.encode()) for document in documents)
        counts[name] = {"documents": len(documents), "tokens": len(ids), "text_bytes": text_bytes}
    return counts
