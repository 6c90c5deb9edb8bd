"""The training loop: data -> model -> updates -> evaluations -> metrics file and checkpoint."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optimizers.build import build_optimizers
from optimizers.schedules import multiplier
from trainer.checkpoint import save_checkpoint
from trainer.config import Configs
from trainer.data import load_data, training_batches
from trainer.device import (
    ahead,
    autocast,
    device_name,
    peak_memory_bytes,
    prepare_device,
    random_state,
    set_random_state,
)
from trainer.diagnosis import Curves, Diagnosis, watched_steps
from trainer.errors import CheckpointError, ConfigError, DivergedError, OutputError
from trainer.evaluation import evaluate
from trainer.metrics import History, write_metrics
from trainer.model import build_model
from trainer.parallel import ALONE, World
from trainer.seeds import derive_seed
from trainer.state import TrainingState, load_state, remove_state, save_state
from trainer.stopwatch import Stopwatch

WARMUP_STEPS = 10  # the first steps are slower (allocations, compilation): the speed leaves them out


def train(configs: Configs, world: World = ALONE) -> Path | None:
    """One run, from its settings to its metrics file, whose path rank 0 returns. Raises TrainerError."""
    output_dir = Path(configs.output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        run = Run(configs, world)
        run.train()
        return run.finish() if world.leads else None
    except OSError as error:
        raise OutputError(
            f"{error.filename or output_dir} cannot be written ({error.strerror}); give another --output_dir."
        ) from error


def say(line: str) -> None:
    """Prints a line at once. Raises OutputError if nobody takes it."""
    try:
        print(line, flush=True)
    except OSError as error:
        raise OutputError(f"Standard output cannot be written ({error.strerror}); the run has ended.") from error


class Run:
    """A run in progress: the model, what feeds and moves it, and what was measured so far."""

    def __init__(self, configs: Configs, world: World = ALONE) -> None:
        self.began = time.perf_counter()
        if configs.batch_size % world.size:
            raise ConfigError(
                f"--batch_size {configs.batch_size} cannot be divided among {world.size} processes; "
                f"give a multiple of {world.size}."
            )
        self.world = world
        self.output_dir = Path(configs.output_dir)
        self.device, self.configs = prepare_device(configs)
        torch.manual_seed(derive_seed(configs.seed, "any other draw") + world.rank)
        with world.first():
            self.data = load_data(configs)
        self.model = build_model(self.configs, self.device)
        if configs.compile:
            self.model.compile_blocks()
        self.network: Callable[..., Tensor] = world.wrap(self.model)
        self.optimizers = build_optimizers(self.model, self.configs, world)
        looked_at = watched_steps(configs.steps, configs.eval_every) if world.leads else ()
        self.diagnosis = Diagnosis(self.model, looked_at)
        self.history, self.watch, self.done = History(), Stopwatch(self.device), 0
        self.loss, self.train_loss = torch.tensor(0.0), 0.0  # of the last update, on the device; as it was last read
        earlier = self.resume() if configs.resume else None
        batches = training_batches(self.data.splits["train"], configs.batch_size, configs.max_seq_len, configs.seed)
        self.batches = ahead(map(world.rows, islice(batches, self.done, configs.steps)), self.device)
        self.setup_seconds = time.perf_counter() - self.began
        if earlier is not None:
            self.setup_seconds += earlier.setup_seconds
            self.began -= earlier.wall_seconds
        self.batches = self.watch.passing("data", self.batches)
        self.watch.start()

    def train(self) -> None:
        """Every update that is left, with the evaluations before, between and after them."""
        configs = self.configs
        if self.done == 0:
            self.evaluate(0, configs.eval_tokens)
        for step in range(self.done + 1, configs.steps + 1):
            with self.watch:
                factor = self.update(step)
            shows = step in (1, configs.steps) or step % configs.log_every == 0
            evaluates = step % configs.eval_every == 0 and step < configs.steps
            saves = configs.save_every > 0 and step % configs.save_every == 0 and step < configs.steps
            self.watch.passed("optimizer")
            self.diagnosis.look_again(step, factor)
            self.watch.passed("diagnosis")
            if shows or evaluates or saves:
                self.train_loss = self.world.mean(self.loss).item()
            if shows or not math.isfinite(self.train_loss):
                self.report(step, factor)
            if evaluates:
                self.evaluate(step, configs.eval_tokens)
            if saves:
                self.save(step)
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
        for optimizer in self.optimizers:
            optimizer.set_multiplier(factor)
        inputs, targets = next(self.batches)
        loss = self.forward(inputs, targets)
        torch.autograd.backward(loss)
        self.watch.passed("backward")
        self.diagnosis.look(step)
        self.watch.passed("diagnosis")
        if configs.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), configs.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.loss = loss.detach()  # to read it now would be to wait for the device
        return factor

    def forward(self, *tokens: Tensor) -> Tensor:
        """What the model makes of (inputs, targets), their mean loss, or of (inputs,), their logits."""
        with autocast(self.device, self.configs):
            result = self.network(*tokens)
        if self.model.training:
            self.watch.passed("forward")
        return result

    def report(self, step: int, factor: float) -> None:
        """Prints the progress line. Raises DivergedError if the loss is not finite."""
        recent = self.watch.seconds()[-self.configs.log_every :]
        speed = self.configs.tokens_per_step * len(recent) / sum(recent)
        finite = math.isfinite(self.train_loss)
        loss = f"{self.train_loss:.4f}" if finite else "nan"
        self.say(f"step {step}/{self.configs.steps} loss {loss} lr {factor:.3f} {speed:.0f} tok/s")
        if not finite:
            raise DivergedError(f"The training loss is not finite at step {step}; lower the learning rates.")

    def evaluate(self, step: int, limit: int | None) -> None:
        """Evaluates the visible split after `step` updates. Raises DivergedError for a non-finite loss."""
        configs, visible = self.configs, self.data.splits["visible"]
        self.model.eval()
        result = evaluate(self.forward, visible, configs.max_seq_len, self.device, limit, self.world)
        self.model.train()
        self.say(f"eval {step}/{configs.steps} val_loss {result.loss:.4f}")
        if not math.isfinite(result.loss):
            raise DivergedError(f"The validation loss is not finite after step {step}; lower the learning rates.")
        rate = self.optimizers[0].groups[0].lr
        self.history.add(step, result, self.wall_seconds() - self.setup_seconds, rate)
        self.watch.passed("evaluation")

    def say(self, line: str) -> None:
        """Prints a line, once for all ranks. Raises OutputError."""
        if self.world.leads:
            say(line)

    def wall_seconds(self) -> float:
        """Seconds since the run began, those of an interrupted part as of its state included."""
        return time.perf_counter() - self.began

    def save(self, step: int) -> None:
        """Saves the whole training state after `step` updates."""
        random = random_state(self.device).to(self.device)
        state = TrainingState(
            configs=asdict(self.configs),
            processes=self.world.size,
            data=self.data.manifest["files"],
            step=step,
            model=self.model.state_dict(),
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            random=self.world.gather(random[None], self.world.size),
            history=asdict(self.history),
            step_seconds=self.watch.seconds(),
            phase_seconds=self.watch.phase_seconds(),
            curves=asdict(self.diagnosis.read()),
            setup_seconds=self.setup_seconds,
            wall_seconds=self.wall_seconds(),
        )
        if self.world.leads:
            save_state(self.output_dir, state)
        self.watch.passed("saving")

    def resume(self) -> TrainingState | None:
        """Puts the run where an interrupted one was saved; without a state it starts from the beginning.

        Raises ConfigError if that run was another one, and CheckpointError.
        """
        state = load_state(self.output_dir)
        if state is None:
            self.say(f"no training state in {self.output_dir}: starting from the beginning")
            return None
        state.check(self.configs, self.world.size, self.data.manifest["files"])
        try:
            self.model.load_state_dict(state.model)
            for optimizer, saved in zip(self.optimizers, state.optimizers, strict=True):
                optimizer.load_state_dict(saved)
            set_random_state(self.device, state.random[self.world.rank])
            self.history, self.diagnosis.curves = History(**state.history), Curves(**state.curves)
        except (RuntimeError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"The training state in {self.output_dir} is that of other code; start anew without --resume."
            ) from error
        self.watch, self.done = Stopwatch(self.device, state.step_seconds, state.phase_seconds), state.step
        self.say(f"resumed after step {state.step}/{self.configs.steps}")
        return state

    def finish(self) -> Path:
        """Writes the result and removes the training state; returns the path of the metrics file. Raises OSError."""
        save_checkpoint(self.output_dir, self.model, self.configs)
        path = write_metrics(self.output_dir, self.configs.train_tokens, self.metrics(), self.history)
        remove_state(self.output_dir)
        return path

    def metrics(self) -> dict[str, Any]:
        """Everything of the metrics file but the history."""
        configs, wall, seconds = self.configs, self.wall_seconds(), self.watch.seconds()
        timed = seconds[WARMUP_STEPS:] or seconds
        self.watch.passed("saving")
        return {
            "final_metrics": self.history.final_metrics(self.train_loss),
            "setup_time_seconds": self.setup_seconds,
            "active_training_time_seconds": sum(seconds),
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
            "processes": self.world.size,
            "diagnosis": asdict(self.diagnosis.read())
            | {"phase_seconds": {"set-up": self.setup_seconds, **self.watch.phase_seconds()}},
        }
