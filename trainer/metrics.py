"""The record of a run: its history, its metrics file and its curve."""

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainer.curve import curve_svg
from trainer.evaluation import Evaluation


@dataclass
class History:
    """What each evaluation found; `elapsed_times` are minutes of training, `learning_rates` those of Muon."""

    steps: list[int] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    val_accuracies: list[float] = field(default_factory=list)
    val_perplexities: list[float] = field(default_factory=list)
    elapsed_times: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)

    def add(self, step: int, result: Evaluation, seconds: float, learning_rate: float) -> None:
        """Appends the evaluation after `step` updates, `seconds` after training began."""
        self.steps.append(step)
        self.val_losses.append(result.loss)
        self.val_accuracies.append(result.accuracy)
        self.val_perplexities.append(perplexity(result.loss))
        self.elapsed_times.append(seconds / 60)
        self.learning_rates.append(learning_rate)

    def final_metrics(self, train_loss: float) -> dict[str, float]:
        """The last evaluation, with the loss of the last training step."""
        return {
            "val_loss": self.val_losses[-1],
            "val_accuracy": self.val_accuracies[-1],
            "val_perplexity": self.val_perplexities[-1],
            "train_loss": train_loss,
        }


def perplexity(loss: float) -> float:
    """exp(loss), kept finite so that it stays JSON."""
    return math.exp(min(loss, 100.0))


def write_metrics(output_dir: Path, train_tokens: int, metrics: dict[str, Any], history: History) -> Path:
    """Writes plots/metrics_<train_tokens>_<YYYYmmdd_HHMMSS>.json and its curve; returns the former's path.

    The file is created exclusively: a name that is taken waits for the next second. Raises OSError.
    """
    folder = output_dir / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**metrics, "history": asdict(history)}, indent=2, allow_nan=False) + "\n"
    while True:
        path = folder / f"metrics_{train_tokens}_{time.strftime('%Y%m%d_%H%M%S')}.json"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            time.sleep(1.0 - time.time() % 1.0)
        else:
            path.with_suffix(".svg").write_text(curve_svg(history.steps, history.val_losses), encoding="utf-8")
            return path
