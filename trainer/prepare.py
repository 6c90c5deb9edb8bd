"""Preparing data: documents -> split -> tokenizer -> token files and the manifests that vouch for them.

What is held in memory is written whole or not at all; a stream is written in shards, by draft.py.
PROTECTED: what is measured depends on this module.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainer.config import PRESETS, Configs
from trainer.corpus import KJV, corpus_sha256, read_documents
from trainer.data import FORMAT, TOKENIZER, Manifest, read_part, write_manifest, writing
from trainer.draft import SHARD_TOKENS, prepare_stream
from trainer.errors import DataError, TrainerError
from trainer.hub import hub_stream
from trainer.split import split_documents
from trainer.stream import HUB, is_stream, local_stream
from trainer.tokenizer import load_tokenizer, train_tokenizer, write_splits


def prepare_corpus(folder: Path, configs: Configs, tokens: int | None, shard_tokens: int = SHARD_TOKENS) -> None:
    """Prepares the corpus of `configs` in `folder`; of a stream about `tokens` training tokens. Raises DataError."""
    corpus = Path(configs.corpus)
    if configs.corpus.startswith(HUB):
        stream = hub_stream(configs.corpus)
    elif configs.corpus != KJV and is_stream(corpus):
        stream = local_stream(corpus)
    else:
        documents = read_documents(None if configs.corpus == KJV else corpus)
        return prepare(folder, documents, configs.vocab_size, configs.tokenizer)
    tokenizer = configs.tokenizer or stream.tokenizer
    return prepare_stream(folder, stream, configs.vocab_size, tokenizer, tokens, shard_tokens)


def prepare(folder: Path, documents: Sequence[str], vocab_size: int, tokenizer: str | None = None) -> None:
    """Splits, takes the tokenizer or trains one on the training split, and writes `folder` whole or not at all.

    If another process has put the folder there meanwhile, that one stays. Raises DataError.
    """
    splits = split_documents(documents)
    encoder = load_tokenizer(tokenizer, vocab_size) if tokenizer else train_tokenizer(splits["train"], vocab_size)
    hidden = {"hidden": splits.pop("hidden")}
    about: Manifest = {"format": FORMAT, "corpus_sha256": corpus_sha256(documents), "vocab_size": vocab_size}
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            draft = Path(scratch) / folder.name
            for half, members in (("open", splits), ("hidden", hidden)):
                (draft / half).mkdir(parents=True)
                counts = write_splits(draft / half, encoder, members, vocab_size)
                if half == "open":
                    encoder.save(str(draft / "open" / TOKENIZER))
                write_manifest(draft / half, about, counts)
            draft.rename(folder)


def main(argv: Sequence[str]) -> int:
    """Prepares data for later runs; 0, or 1 after one sentence about what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m trainer.data", description="Prepare training data.")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; it must not exist")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="whose settings to take")
    parser.add_argument("--corpus", help="another corpus: kjv, a file or folder, or hf:NAME[:CONFIG]")
    parser.add_argument("--tokenizer", help="another tokenizer: hf:NAME or a tokenizer.json")
    parser.add_argument("--vocab_size", type=int, help="another vocabulary size")
    parser.add_argument(
        "--tokens", type=int, help="training tokens to take from a stream; 0 takes all (default: twice the preset's)"
    )
    parser.add_argument("--shard_tokens", type=int, default=SHARD_TOKENS, help="tokens in one file of a stream")
    args = parser.parse_args(argv)
    chosen = {name: getattr(args, name) for name in ("corpus", "tokenizer", "vocab_size")}
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        configs = replace(PRESETS[args.preset], **given)
        if args.output.exists():
            raise DataError(f"{args.output} exists already; name a new folder.")
        tokens = 2 * configs.tokens_in_order if args.tokens is None else args.tokens or None
        prepare_corpus(args.output, configs, tokens, args.shard_tokens)
        part = read_part(args.output / "open", ("train", "visible"))
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"prepared {args.output}: " + ", ".join(f"{len(ids)} {name}" for name, ids in part.splits.items()) + " tokens"
    )
    return 0
