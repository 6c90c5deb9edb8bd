"""A checkout of nanoGPT as a peer: its own train.py, run on this repository's data at the same shape.

Its recipe is its own (LayerNorm, GELU, learned positions, AdamW, windows drawn at random), so its speed compares and
its losses do not. It computes in float32 on a CPU, whatever is asked.
"""

import pickle
import re
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.watched import Watched, watch
from trainer.config import Configs

FILES = ("train.py", "model.py", "configurator.py")
ITERATION = re.compile(r"iter \d+: loss (\S+), time (\S+)ms")
EVALUATION = re.compile(r"step \d+: train loss \S+, val loss (\S+)")


@dataclass(frozen=True)
class Trained:
    """Figures of one run; `step` is the median seconds of an iteration."""

    watched: Watched
    tokens: int
    step: float
    train_loss: float
    val_loss: float


def is_checkout(path: Path) -> bool:
    """Whether the folder looks like nanoGPT."""
    return all((path / name).is_file() for name in FILES)


def train(checkout: Path, configs: Configs, folder: Path) -> Trained:
    """Run it in `folder`, which gets links to its code; the checkout stays as it is. Raise CommandFailed."""
    data = folder / "data" / "circle"
    data.mkdir(parents=True)
    for name in FILES:
        (folder / name).symlink_to(checkout.resolve() / name)
    assert configs.data_dir
    prepared = Path(configs.data_dir) / "open"
    shutil.copy(prepared / "train.bin", data / "train.bin")  # both formats are little-endian uint16
    shutil.copy(prepared / "visible.bin", data / "val.bin")
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": configs.vocab_size}))
    flags = [f"--{name}={value}" for name, value in overrides(configs).items()]
    watched = watch(folder / "train.py", flags, threads=configs.threads, cwd=folder, first_step=r"iter 0:")
    text = "\n".join(watched.lines)
    losses, milliseconds = zip(*ITERATION.findall(text), strict=True)
    return Trained(
        watched=watched,
        tokens=len(losses) * configs.tokens_per_step,
        step=statistics.median(map(float, milliseconds)) / 1000,
        train_loss=float(losses[-1]),
        val_loss=float(EVALUATION.findall(text)[-1]),
    )


def overrides(configs: Configs) -> dict[str, object]:
    """Its settings for this shape; rates and schedule are those of its CPU example.

    It evaluates where an iteration is a multiple of the interval: the last one is made to be.
    """
    evaluations = max(1, configs.steps // configs.eval_every)
    interval = configs.steps // evaluations
    steps = evaluations * interval
    return {
        "dataset": "circle",
        "out_dir": "out",
        "device": "cpu",
        "dtype": "float32",
        "compile": False,
        "log_interval": 1,
        "eval_interval": interval,
        "eval_iters": max(1, configs.eval_tokens // configs.tokens_per_step // 2),  # it evaluates both splits
        "always_save_checkpoint": False,
        "n_layer": configs.n_layers,
        "n_head": configs.n_heads,
        "n_embd": configs.d_model,
        "block_size": configs.max_seq_len,
        "batch_size": configs.batch_size,
        "gradient_accumulation_steps": 1,
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "min_lr": 1e-4,
        "beta2": 0.99,
        "warmup_iters": min(100, steps),
        "lr_decay_iters": steps,
        "max_iters": steps,
    }
