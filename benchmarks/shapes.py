"""The models that are measured, the arithmetic that one token costs them, and their data."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.config import PRESETS, Configs
from trainer.corpus import read_documents

ROOT = Path(__file__).resolve().parent.parent
FORMULA = (
    "FLOPs a token = 6 x (parameters in matrix products: blocks and output layer, not the embedding's look-up) "
    "+ 6 x layers x d_model x sequence length (causal attention)"
)
SIZES: dict[str, dict[str, Any]] = {  # named after the parameters in their blocks
    "1M": {"n_layers": 5, "d_model": 128, "d_ff": 512, "n_heads": 4, "n_kv_heads": 4},
    "3M": {"n_layers": 4, "d_model": 256, "d_ff": 1024, "n_heads": 8, "n_kv_heads": 8},
    "10M": {"n_layers": 8, "d_model": 320, "d_ff": 1280, "n_heads": 10, "n_kv_heads": 10},
    # The CPU example of nanoGPT's README: 0.80M parameters, with bytes for its 65 characters.
    "nanogpt": {
        "n_layers": 4,
        "d_model": 128,
        "d_ff": 512,
        "n_heads": 4,
        "n_kv_heads": 4,
        "max_seq_len": 64,
        "batch_size": 12,
        "vocab_size": 257,
        "tie_embeddings": True,
        "eval_every": 250,
        "eval_tokens": 30_720,
    },
}
PRESET = "preset"  # the size that the preset itself has
WORK, FEWEST_STEPS = 4e11, 10  # FLOPs, and steps, of a run of a size: some seconds of a CPU
SPARSEST = 16  # documents of which one is kept, at the most, for a short run: fewer make no split


def configs_of(preset: str, size: str, train_tokens: int | None = None) -> Configs:
    """The settings of a size; raise KeyError for an unknown one."""
    if size == PRESET:
        return replace(PRESETS[preset], train_tokens=train_tokens or PRESETS[preset].train_tokens)
    shaped = replace(PRESETS[preset], **SIZES[size])
    fewest = FEWEST_STEPS * shaped.tokens_per_step
    return replace(shaped, train_tokens=train_tokens or max(fewest, round(WORK / flops_per_token(shaped))))


def flags_of(preset: str, configs: Configs) -> list[str]:
    """The command line that gives train_llm.py these settings."""
    base, chosen = vars(PRESETS[preset]), vars(configs)
    changed = [name for name in chosen if chosen[name] != base[name]]
    return ["--preset", preset, *(word for name in changed for word in (f"--{name}", str(chosen[name])))]


def block_parameters(configs: Configs) -> int:
    """Parameters in the blocks' matrices."""
    c, keys = configs, configs.n_kv_heads * configs.head_dim
    return c.n_layers * (2 * c.d_model**2 + 2 * c.d_model * keys + 2 * c.d_model * c.d_ff)


def flops_per_token(configs: Configs) -> int:
    """FLOPs of one token's forward and backward pass, by FORMULA."""
    c = configs
    matrices = block_parameters(c) + c.vocab_size * c.d_model
    return 6 * matrices + 6 * c.n_layers * c.d_model * c.max_seq_len


def prepare_data(folder: Path, configs: Configs) -> Path:
    """Prepared data below `folder`, made at its first use: the default corpus, or every n-th document for a short run.

    A run then sees about one epoch, and its last evaluation, of the whole validation split, keeps its usual share.
    """
    whole = prepared(folder / f"data-{configs.vocab_size}", configs.vocab_size)
    manifest = json.loads((whole / "open" / "manifest.json").read_text(encoding="utf-8"))
    every = min(SPARSEST, manifest["splits"]["train"]["tokens"] // configs.train_tokens)
    if every < 2:
        return whole
    corpus = folder / f"corpus-{every}.txt"
    corpus.write_text("\f".join(read_documents(None)[::every]), encoding="utf-8")
    return prepared(folder / f"data-{configs.vocab_size}-{every}", configs.vocab_size, "--corpus", str(corpus))


def prepared(folder: Path, vocab_size: int, *flags: str) -> Path:
    """The folder, filled by `python -m trainer.data` unless it is there."""
    if not folder.exists():
        command = [sys.executable, "-m", "trainer.data", "--output", str(folder), "--vocab_size", str(vocab_size)]
        subprocess.run([*command, *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder
