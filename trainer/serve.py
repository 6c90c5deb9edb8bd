"""Serving: the tokens of one run, drawn from prepared data before it starts, as all the training data that it sees.

    python -m trainer.serve --data DIR --preset NAME --train_tokens N --seeds SEED,SEED,... --output FOLDER

    FOLDER/SEED/open/    train.bin visible.bin tokenizer.json manifest.json

`train.bin` holds the windows that training on the whole split would take with that seed, in that order: a run of it
ends with the same bytes, and how many tokens it can see is the size of a file.
PROTECTED: what is measured depends on this module.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from trainer.config import PRESETS, Configs
from trainer.data import Manifest, Part, read_part, token_dtype, training_batches, write_manifest, writing
from trainer.errors import DataError, TrainerError


def serve(folder: Path, data: Path, configs: Configs) -> int:
    """Writes `folder` with what a run of `configs` takes of the prepared `data`; the tokens in it. Raises DataError."""
    if folder.exists():
        raise DataError(f"{folder} exists already; name a new folder.")
    part = read_part(data / "open", ("train",))
    if "served" in part.manifest:
        raise DataError(f"The data in {data} was itself served to a run; draw from the data that was prepared.")
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            draft = Path(scratch) / folder.name
            (draft / "open").mkdir(parents=True)
            for name in part.manifest["files"]:
                if not re.fullmatch(r"train(-\d+)?\.bin", name):
                    shutil.copyfile(data / "open" / name, draft / "open" / name)
            tokens = write_windows(draft / "open" / "train.bin", part, configs)
            splits = {**part.manifest["splits"], "train": {"tokens": tokens}}
            write_manifest(draft / "open", about(part.manifest, configs), splits)
            draft.rename(folder)
    return tokens


def about(manifest: Manifest, configs: Configs) -> Manifest:
    """What the manifest of a served part says beside its splits and files."""
    kept = {name: value for name, value in manifest.items() if name not in ("splits", "files")}
    return {**kept, "served": {"seed": configs.seed, "length": configs.max_seq_len}}


def write_windows(file: Path, part: Part, configs: Configs) -> int:
    """Writes every batch of the run, each window with the token behind it; the number of tokens. Raises OSError."""
    dtype, tokens = token_dtype(part.manifest["vocab_size"]), 0
    batches = training_batches(part.splits["train"], configs.batch_size, configs.max_seq_len, configs.seed)
    with file.open("wb") as stream:
        for inputs, targets in islice(batches, configs.steps):
            windows = torch.cat([inputs, targets[:, -1:]], 1).numpy().astype(dtype)
            stream.write(windows.tobytes())
            tokens += windows.size
    return tokens


def numbers(text: str) -> list[int]:
    """Whole numbers from a text with commas between them. Raises ValueError."""
    return [int(word) for word in text.split(",")]


def main(argv: Sequence[str]) -> int:
    """Serves the runs of some seeds; 0, or 1 after one sentence about what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m trainer.serve", description="Serve training data to runs.")
    parser.add_argument("--data", type=Path, required=True, help="the folder that `python -m trainer.data` has written")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="whose batch and length to draw")
    parser.add_argument("--train_tokens", type=int, required=True, help="tokens of a run, rounded up to whole steps")
    parser.add_argument("--seeds", type=numbers, required=True, help="the runs' seeds, separated by commas")
    parser.add_argument("--output", type=Path, required=True, help="where each run's folder goes, named by its seed")
    args = parser.parse_args(argv)
    try:
        for seed in args.seeds:
            configs = replace(PRESETS[args.preset], seed=seed, train_tokens=args.train_tokens)
            tokens = serve(args.output / str(seed), args.data, configs)
            print(f"served {tokens} tokens in {args.output / str(seed)}")
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
