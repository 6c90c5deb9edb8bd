"""Configs: every setting of a training run, and the presets.

Each field becomes a command-line flag by construction (flags.py): to add a setting, add one line here.
"""

# ruff: noqa: RUF009 - `setting` returns a dataclass field, which no two instances share
import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from optimizers.schedules import Schedule
from trainer.errors import ConfigError

Dtype = Literal["auto", "bfloat16", "float32"]


def setting(default: Any, about: str, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field of Configs with its help text and the range of values that make sense, both ends included."""
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class Configs:
    """All settings of one run; the defaults are the blueberry preset. Raises ConfigError, in one sentence."""

    # run
    seed: int = setting(42, "seeds the initial weights and the data order, each through its own stream", 0)
    train_tokens: int = setting(8_000_000, "tokens to train on; rounded up to whole steps", 1)
    corpus: str = setting(
        "hf:HuggingFaceTB/smollm-corpus",
        "what to train on: kjv (the King James Bible), a text, JSONL or Parquet file, a folder of the latter two, or "
        "hf:NAME[:CONFIG] on the Hugging Face hub",
    )
    tokenizer: str | None = setting(
        None, "hf:NAME or a tokenizer.json (default: the one published with the corpus, else one trained on it)"
    )
    data_dir: str | None = setting(
        None, "data prepared by `python -m trainer.data`, instead of a corpus; only its open part is read"
    )
    output_dir: str = setting(".", "everything that the run writes lies in this folder")
    log_every: int = setting(10, "steps between progress lines", 1)
    eval_every: int = setting(100, "steps between evaluations on a part of the visible split", 1)
    eval_tokens: int = setting(262_144, "tokens of such an evaluation; the last one takes the whole split", 1)
    save_every: int = setting(0, "steps between savings of the whole training state; 0 saves only the result", 0)
    resume: bool = setting(False, "go on from the training state in output_dir, if an interrupted run left one")

    # machine
    dtype: Dtype = setting("auto", "compute precision; auto is bfloat16 where the processor has it")
    threads: int = setting(0, "CPU threads; 0 leaves the choice to torch", 0, 1024)
    compile: bool = setting(False, "compile the model with torch.compile")

    # model
    vocab_size: int = setting(49_152, "tokens in the vocabulary", 257, 2**31)
    max_seq_len: int = setting(2048, "tokens in one training sequence", 2)
    d_model: int = setting(512, "width of the residual stream", 1)
    n_layers: int = setting(22, "transformer blocks", 1)
    n_heads: int = setting(8, "query heads; d_model is divided among them", 1)
    n_kv_heads: int = setting(4, "key and value heads; each serves n_heads / n_kv_heads query heads", 1)
    d_ff: int = setting(2048, "width of the hidden layer of a feed-forward block", 1)
    rope_base: float = setting(10_000.0, "base of the rotary position embedding's wavelengths", 1.0)
    qk_norm: bool = setting(True, "normalise queries and keys, before the rotation")
    tie_embeddings: bool = setting(True, "use the token embedding as the output layer too")
    zero_init: bool = setting(False, "start the projections that end a block at zero")

    # optimisation
    batch_size: int = setting(8, "sequences in one step", 1)
    muon_lr: float = setting(0.024, "peak rate of Muon, which trains the matrices inside the blocks", 0.0)
    muon_momentum: float = setting(0.95, "momentum of Muon", 0.0, 0.9999)
    muon_weight_decay: float = setting(0.0, "decoupled weight decay of Muon", 0.0)
    adamw_lr: float = setting(0.006, "peak rate of AdamW, which trains the head and the gains", 0.0)
    adamw_beta1: float = setting(0.9, "decay of AdamW's mean of the gradient", 0.0, 0.9999)
    adamw_beta2: float = setting(0.999, "decay of AdamW's mean of the squared gradient", 0.0, 0.9999)
    embedding_lr: float = setting(0.006, "peak rate of AdamW for the token embedding", 0.0)
    weight_decay: float = setting(0.2, "decoupled weight decay of AdamW", 0.0)
    grad_clip: float = setting(1.0, "largest norm of the whole gradient; 0 clips nothing", 0.0)
    schedule: Schedule = setting("constant", "shape of the learning rate over the run")
    warmup_ratio: float = setting(0.0, "part of the run that warms up", 0.0, 1.0)
    cooldown_ratio: float = setting(0.4, "last part of the run, which schedule wsd cools down", 0.0, 1.0)
    final_lr_ratio: float = setting(0.0, "rate at the end of schedules cosine, linear and wsd, over the peak", 0.0, 1.0)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, low, high = getattr(self, f.name), f.metadata["low"], f.metadata["high"]
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"--{f.name} {value} is not a finite number; give one.")
            if isinstance(value, int | float) and not low <= value <= high:
                bounds = f"{low} or more" if high == math.inf else f"from {low} to {high}"
                raise ConfigError(f"--{f.name} {value} is out of range; give a value {bounds}.")
        self._check_divides("n_heads", "d_model")
        self._check_divides("n_kv_heads", "n_heads")
        if self.head_dim % 2:
            raise ConfigError(
                f"--d_model {self.d_model} over --n_heads {self.n_heads} gives heads of odd width "
                f"{self.head_dim}; rotary positions need an even width."
            )

    def _check_divides(self, divisor: str, dividend: str) -> None:
        small, large = getattr(self, divisor), getattr(self, dividend)
        if large % small:
            raise ConfigError(f"--{divisor} {small} does not divide --{dividend} {large}; choose one that does.")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one update is computed from."""
        return self.batch_size * self.max_seq_len

    @property
    def steps(self) -> int:
        """Updates of the run: train_tokens rounded up to whole steps."""
        return -(-self.train_tokens // self.tokens_per_step)

    @property
    def tokens_in_order(self) -> int:
        """Tokens of which the run repeats none, wherever its first window begins."""
        return self.steps * self.tokens_per_step + self.max_seq_len


BLUEBERRY = Configs()
CPU = replace(  # tuned: docs/research/cpu_preset.md
    BLUEBERRY,
    corpus="kjv",
    train_tokens=491_520,
    eval_tokens=16_384,
    threads=1,
    vocab_size=2048,
    max_seq_len=128,
    d_model=128,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    d_ff=256,
    rope_base=100.0,
    tie_embeddings=False,
    zero_init=True,
    batch_size=16,
    muon_lr=0.03,
    muon_momentum=0.8,
    muon_weight_decay=0.03,
    adamw_lr=0.012,
    adamw_beta1=0.5,
    adamw_beta2=0.99,
    embedding_lr=0.004,
    weight_decay=0.1,
    schedule="wsd",
    cooldown_ratio=0.6,
    final_lr_ratio=0.05,
)
SMOKE = replace(
    CPU,
    train_tokens=20_480,
    eval_every=20,
    eval_tokens=4096,
    vocab_size=512,
    max_seq_len=64,
    d_model=32,
    n_kv_heads=1,
    d_ff=64,
    batch_size=8,
)
PRESETS = {"blueberry": BLUEBERRY, "cpu": CPU, "smoke": SMOKE}
