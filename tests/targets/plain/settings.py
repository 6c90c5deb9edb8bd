"""Every setting of a run; each field is a flag of train.py."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Configs:
    seed: int = 0
    train_tokens: int = 2_400
    output_dir: str = "."
    rate: float = 0.01
    batch: int = 8
    intercept: bool = False
