"""A run's whole training state, from which an interrupted run goes on: `checkpoints/training_state.pt`.

The file is torch's zip archive, read as plain data and never as code; a checksum covers each of its parts.
"""

import os
import pickle
import zipfile
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optimizers.optimizer import Memory
from trainer.checkpoint import FOLDER
from trainer.config import Configs
from trainer.errors import CheckpointError, ConfigError

NAME, DRAFT = "training_state.pt", "training_state.pt.draft"
# What may differ when a run goes on: where it reads and writes, how it looks and how fast it is.
FREE = {"corpus", "data_dir", "output_dir", "log_every", "save_every", "resume", "threads"}
UNREADABLE = (OSError, EOFError, ValueError, TypeError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile)


@dataclass(frozen=True)
class TrainingState:
    """A run after `step` updates, which are also its position in the order of the data."""

    configs: dict[str, Any]
    processes: int
    data: dict[str, str]  # the SHA-256 of each file
    step: int
    model: dict[str, Tensor]
    optimizers: list[list[Memory]]
    random: Tensor  # [processes, bytes] uint8: the state of each one's generators
    history: dict[str, list[Any]]
    step_seconds: list[float]
    phase_seconds: dict[str, float]
    curves: dict[str, Any]
    setup_seconds: float
    wall_seconds: float

    def check(self, configs: Configs, processes: int, data: dict[str, str]) -> None:
        """Raises ConfigError, which tells all that was different when this state was written."""
        names = [field.name for field in fields(configs) if field.name not in FREE]
        then = {name: self.configs.get(name) for name in names}
        other = [f"--{name} {then[name]}" for name in names if then[name] != getattr(configs, name)]
        if processes != self.processes:
            other.append(f"--nproc-per-node {self.processes}")
        if data != self.data:
            other.append("other data")
        if other:
            raise ConfigError(
                f"The interrupted run had {', '.join(other)}; give the same, or start anew without --resume."
            )


def save_state(output_dir: Path, state: TrainingState) -> None:
    """Writes the state in place of the one before, which stays until this one is whole. Raises OSError."""
    folder = output_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = BytesIO()  # torch cannot tell why it failed to write a file; Python can
    torch.save(vars(state), content)
    with (folder / DRAFT).open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    (folder / DRAFT).replace(folder / NAME)


def load_state(output_dir: Path) -> TrainingState | None:
    """The state that an interrupted run left, on the CPU; None without one. Raises CheckpointError."""
    path = output_dir / FOLDER / NAME
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} has another checksum")
        return TrainingState(**torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        raise CheckpointError(
            f"The training state {path} is damaged; delete it, and the run starts from the beginning."
        ) from error


def remove_state(output_dir: Path) -> None:
    """Removes what a finished run needs no more. Raises OSError."""
    for name in (NAME, DRAFT):
        (output_dir / FOLDER / name).unlink(missing_ok=True)
