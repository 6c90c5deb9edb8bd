"""The runs of the noise study: the real trainer, the same few arms at many seeds, one JSON line a run.

`python -m benchmarks.noise --train FOLDER [--preset NAME]` calls `train_all`: killed, it goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.lines import read_runs
from benchmarks.noise.arms import ARMS, SHARES
from trainer.config import PRESETS, Configs
from trainer.data import Tokens, read_part, training_batches
from trainer.device import ahead
from trainer.evaluation import evaluate, windows
from trainer.loop import Run

POINTS = 24
"""Parts of a run whose mean training losses are kept."""
EVALUATIONS = 6
"""Parts of a run that an evaluation ends."""


@dataclass(frozen=True)
class Task:
    """One run of the study on data prepared by `python -m trainer.data`."""

    preset: str
    arm: str
    seed: int
    data: Path
    train_tokens: int | None = None

    @property
    def configs(self) -> Configs:
        """Its settings; the seed is that of the initial weights."""
        preset, arm = PRESETS[self.preset], ARMS[self.arm]
        tokens = self.train_tokens or preset.train_tokens
        changes = {name: getattr(preset, name) * factor for name, factor in arm.scaled.items()}
        plain = replace(preset, train_tokens=tokens, seed=self.seed + arm.init, data_dir=str(self.data), **changes)
        return replace(plain, eval_every=-(-plain.steps // EVALUATIONS))


class Studied(Run):
    """A silent run with a data order of its own, which keeps every training loss and sums its last weights."""

    def __init__(self, configs: Configs, order_seed: int) -> None:
        super().__init__(configs)
        batches = training_batches(self.data.splits["train"], configs.batch_size, configs.max_seq_len, order_seed)
        self.batches = ahead(batches, self.device)
        self.losses: list[float] = []
        self.firsts = {share: configs.steps - max(1, round(share * configs.steps)) + 1 for share in SHARES}
        self.sums = {share: [torch.zeros_like(p) for p in self.model.parameters()] for share in SHARES}

    def update(self, step: int) -> float:
        """One update, with its loss kept."""
        factor = super().update(step)
        self.losses.append(self.loss.item())
        for share, first in self.firsts.items():
            if step >= first:
                torch._foreach_add_(self.sums[share], [p.detach() for p in self.model.parameters()])
        return factor

    def evaluate(self, step: int, limit: int | None) -> None:
        """The evaluations on the way; the last one is `windows_of`."""
        if limit is not None:
            super().evaluate(step, limit)

    def say(self, line: str) -> None:
        """Nothing: the runs of the study are silent."""

    @torch.no_grad()
    def windows_of(self, tokens: Tokens) -> tuple[float, list[float]]:
        """The mean loss over a split, and that of each of its windows of max_seq_len tokens."""
        self.model.eval()
        losses: list[Tensor] = []
        counts: list[int] = []
        for inputs, targets in windows(tokens, self.configs.max_seq_len, None):
            for logits, wanted in zip(self.forward(inputs), targets, strict=True):
                losses.append(functional.cross_entropy(logits.float(), wanted))
                counts.append(len(wanted))
        values = torch.stack(losses).double().numpy()
        return float(np.average(values, weights=counts)), [round(value, 5) for value in values.tolist()]

    @torch.no_grad()
    def averaged(self, share: float, tokens: Tokens) -> float:
        """The loss of the mean of the last weights, which replaces them."""
        count = self.configs.steps - self.firsts[share] + 1
        for parameter, total in zip(self.model.parameters(), self.sums[share], strict=True):
            parameter.copy_(total / count)
        return evaluate(self.forward, tokens, self.configs.max_seq_len, self.device).loss


def perform(task: Task) -> dict[str, Any]:
    """The run, and everything that the study keeps of it."""
    cpu = time.process_time()
    run = Studied(task.configs, task.seed + ARMS[task.arm].order)
    run.train()
    hidden = read_part(task.data / "hidden", ("hidden",)).splits["hidden"]
    ends = {"visible": run.windows_of(run.data.splits["visible"]), "hidden": run.windows_of(hidden)}
    return {
        "preset": task.preset,
        "arm": task.arm,
        "seed": task.seed,
        **{split: loss for split, (loss, _) in ends.items()},
        "windows": {split: losses for split, (_, losses) in ends.items()},
        "averaged": [run.averaged(share, hidden) for share in SHARES],
        "evaluations": run.history.val_losses,
        "train": [round(float(part.mean()), 5) for part in np.array_split(run.losses, min(POINTS, len(run.losses)))],
        "dtype": run.configs.dtype,
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def tasks(preset: str, seeds: int, data: Path, train_tokens: int | None = None) -> Iterator[Task]:
    """Seed by seed, all arms of a seed after one another, so that what a kill leaves is a study too."""
    for seed in range(1, seeds + 1):
        for name, arm in ARMS.items():
            if (seed - 1) % arm.every == 0:
                yield Task(preset, name, seed, data, train_tokens)


def train_all(path: Path, wanted: Iterator[Task], workers: int) -> int:
    """Appends to the file every wanted run that it has not; returns how many. torch starts once a worker."""
    done = {(run["preset"], run["arm"], run["seed"]) for run in read_runs(path)}
    left = [task for task in wanted if (task.preset, task.arm, task.seed) not in done]
    with multiprocessing.get_context("spawn").Pool(workers) as pool, path.open("a", encoding="utf-8") as file:
        for run in pool.imap_unordered(perform, left):
            file.write(json.dumps(run) + "\n")
            file.flush()
    return len(left)
