"""Trains one arm of the bank at some seeds and prints a JSON line for each run. It runs in the arm's own tree.

    PYTHONPATH=TREE python -P train_arm.py DATA PRESET TOKENS FLAGS SEED...

FLAGS is a JSON object. What a run reports is its metrics file's; its losses are measured afterwards, on the model that
its checkpoint gives, over the whole visible and hidden split.
"""

import contextlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainer.checkpoint import load_model
from trainer.config import PRESETS, Configs
from trainer.data import read_part
from trainer.errors import TrainerError
from trainer.evaluation import evaluate
from trainer.loop import train

CPU = torch.device("cpu")
Lines = dict[str, Any]


def perform(configs: Configs, data: Path) -> Lines:
    """One run and what the bank keeps of it; `cpu_seconds` are those of the training, torch's import left out."""
    started = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        path = train(configs)
    seconds = time.process_time() - started
    assert path is not None
    metrics = json.loads(path.read_text(encoding="utf-8"))
    model = load_model(Path(configs.output_dir))
    losses = {
        split: evaluate(model, read_part(data / part, (split,)).splits[split], configs.max_seq_len, CPU).loss
        for part, split in (("open", "visible"), ("hidden", "hidden"))
    }
    return {
        "status": "done",
        "reported": metrics["final_metrics"]["val_loss"],
        **losses,
        "cpu_seconds": round(seconds, 3),
        "peak_memory_bytes": metrics["peak_memory_bytes"],
    }


def main(data: str, preset: str, tokens: str, flags: str, *seeds: str) -> None:
    """Train every seed; a run that fails is a line, too."""
    for seed in map(int, seeds):
        with tempfile.TemporaryDirectory() as folder:
            plain = replace(PRESETS[preset], train_tokens=int(tokens), data_dir=data, output_dir=folder)
            try:
                line = perform(replace(plain, seed=seed, **json.loads(flags)), Path(data))
            except TrainerError as error:
                line = {"status": "failed", "error": str(error)}
        print(json.dumps({"seed": seed, **line}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
