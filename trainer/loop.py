"""The training loop: data -> model -> updates -> evaluations -> metrics file and checkpoint."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from optimizers.build import build_optimizers, set_multiplier
from optimizers.schedules import multiplier
from trainer.checkpoint import save_checkpoint
from trainer.config import Configs
from trainer.data import load_data, training_batches
from trainer.device import autocast, device_name, peak_memory_bytes, prepare_device
from trainer.errors import DivergedError, OutputError
from trainer.evaluation import evaluate
from trainer.metrics import History, write_metrics
from trainer.model import build_model
from trainer.seeds import derive_seed

WARMUP_STEPS = 10  # the first steps are slower (allocations, compilation): the speed leaves them out


def train(configs: Configs) -> Path:
    """One run, from its settings to its metrics file, whose path is returned. Raises TrainerError."""
    output_dir = Path(configs.output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        run = Run(configs)
        run.train()
        save_checkpoint(output_dir, run.model, run.configs)
        return write_metrics(output_dir, configs.train_tokens, run.metrics(), run.history)
    except OSError as error:
        raise OutputError(
            f"{error.filename or output_dir} cannot be written ({error.strerror}); give another --output_dir."
        ) from error


class Run:
    """A run in progress: the model, what feeds and moves it, and what was measured so far."""

    def __init__(self, configs: Configs) -> None:
        self.began = time.perf_counter()
        self.device, self.configs = prepare_device(configs)
        torch.manual_seed(derive_seed(configs.seed, "any other draw"))
        self.data = load_data(configs).splits
        self.model = build_model(self.configs, self.device)
        self.compute: Callable[[Tensor], Tensor] = torch.compile(self.model) if configs.compile else self.model
        self.optimizers = build_optimizers(self.model, self.configs)
        self.batches = training_batches(self.data["train"], configs.batch_size, configs.max_seq_len, configs.seed)
        self.history = History()
        self.step_seconds: list[float] = []
        self.train_loss = math.nan
        self.ready = time.perf_counter()

    def train(self) -> None:
        """Every update of the run, with the evaluations before, between and after them."""
        configs = self.configs
        self.evaluate(0, configs.eval_tokens)
        for step in range(1, configs.steps + 1):
            started = time.perf_counter()
            factor = self.update(step)
            self.step_seconds.append(time.perf_counter() - started)
            due = step in (1, configs.steps) or step % configs.log_every == 0
            if due or not math.isfinite(self.train_loss):
                self.report(step, factor)
            if step % configs.eval_every == 0 and step < configs.steps:
                self.evaluate(step, configs.eval_tokens)
        self.evaluate(configs.steps, None)

    def update(self, step: int) -> float:
        """One update from the next batch; returns the multiplier of the learning rates."""
        configs = self.configs
        factor = multiplier(
            step - 1,
            configs.steps,
            configs.schedule,
            warmup_ratio=configs.warmup_ratio,
            cooldown_ratio=configs.cooldown_ratio,
            final_ratio=configs.final_lr_ratio,
        )
        set_multiplier(self.optimizers, factor)
        inputs, targets = (part.to(self.device) for part in next(self.batches))
        logits = self.forward(inputs)
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.autograd.backward(loss)
        if configs.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), configs.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.train_loss = loss.item()
        return factor

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits in float32, so that no loss is ever rounded to bfloat16."""
        with autocast(self.device, self.configs):
            return self.compute(tokens).float()

    def report(self, step: int, factor: float) -> None:
        """Prints the progress line. Raises DivergedError if the loss is not finite."""
        recent = self.step_seconds[-self.configs.log_every :]
        speed = self.configs.tokens_per_step * len(recent) / sum(recent)
        finite = math.isfinite(self.train_loss)
        loss = f"{self.train_loss:.4f}" if finite else "nan"
        print(f"step {step}/{self.configs.steps} loss {loss} lr {factor:.3f} {speed:.0f} tok/s", flush=True)
        if not finite:
            raise DivergedError(f"The training loss is not finite at step {step}; lower the learning rates.")

    def evaluate(self, step: int, limit: int | None) -> None:
        """Evaluates the visible split after `step` updates. Raises DivergedError for a non-finite loss."""
        self.model.eval()
        result = evaluate(self.forward, self.data["visible"], self.configs.max_seq_len, self.device, limit)
        self.model.train()
        print(f"eval {step}/{self.configs.steps} val_loss {result.loss:.4f}", flush=True)
        if not math.isfinite(result.loss):
            raise DivergedError(f"The validation loss is not finite after step {step}; lower the learning rates.")
        rate = self.optimizers[0].param_groups[0]["lr"]
        self.history.add(step, result, time.perf_counter() - self.ready, rate)

    def metrics(self) -> dict[str, Any]:
        """Everything of the metrics file but the history."""
        configs, wall = self.configs, time.perf_counter() - self.began
        timed = self.step_seconds[WARMUP_STEPS:] or self.step_seconds
        return {
            "final_metrics": self.history.final_metrics(self.train_loss),
            "setup_time_seconds": self.ready - self.began,
            "active_training_time_seconds": sum(self.step_seconds),
            "total_wall_time_seconds": wall,
            "total_time_minutes": wall / 60,
            "actual_steps": configs.steps,
            "tokens_seen": configs.steps * configs.tokens_per_step,
            "train_tokens": configs.train_tokens,
            "tokens_per_second": len(timed) * configs.tokens_per_step / sum(timed),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "seed": configs.seed,
            "configs": asdict(configs),
            "commit": os.environ.get("CIRCLE_COMMIT"),
            "device": device_name(self.device),
        }
