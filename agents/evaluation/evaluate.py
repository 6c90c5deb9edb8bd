"""One evaluation: score every window, then check in a fresh process that the scores were honest."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from agents.evaluation.checks import Scored, batch_invariant, causal, stateless
from agents.evaluation.scoring import mean_losses, token_losses
from agents.evaluation.served_model import ModelCard, ServedModel
from agents.evaluation.windows import Windows
from agents.laboratory.sandbox import Sandbox


@dataclass(frozen=True)
class Evaluation:
    """The mean loss of each split in nats per token, None if a check failed.

    A check itself is None if it could not be made, for losses that are not finite compare with nothing.
    """

    values: dict[str, float | None]
    tokens_scored: dict[str, int]
    checks: dict[str, bool | None]
    seconds: float


def evaluate(card: ModelCard, windows: Windows, sandbox: Sandbox, seed: int) -> Evaluation:
    """Score a model; raise LaboratoryError if it ends, hangs, or gives logits of another shape.

    Both processes start at once, for most of their time goes into imports. Rows are asked in an order drawn
    from `seed`, so that a model cannot tell the scoring by its order from the checks.
    """
    started = time.monotonic()
    chance = torch.Generator().manual_seed(seed)
    with ServedModel(card, sandbox) as model, ServedModel(card, sandbox) as fresh:
        model.wait()
        scored = _score(model, card, windows, chance)
        fresh.wait()
        checks = _check(fresh, scored, chance)
    values: dict[str, float | None] = dict.fromkeys(windows.splits)
    if all(checks.values()):
        values |= mean_losses(scored.losses, windows)
    counts = {split: scored.losses[rows].numel() for split, rows in windows.splits.items()}
    return Evaluation(values, counts, checks, round(time.monotonic() - started, 3))


def _score(model: ServedModel, card: ModelCard, windows: Windows, chance: torch.Generator) -> Scored:
    order = torch.randperm(len(windows), generator=chance)
    losses = torch.empty(windows.targets.shape, dtype=torch.float32)
    losses[order] = token_losses(model, windows.inputs[order], windows.targets[order], card.batch)
    return Scored(windows, losses, order, card.batch, card.vocabulary)


def _check(fresh: ServedModel, scored: Scored, chance: torch.Generator) -> dict[str, bool | None]:
    if not bool(scored.losses.isfinite().all()):
        return {"finite": False, "causal": None, "batch_invariant": None, "stateless": None}
    return {
        "finite": True,
        "causal": causal(fresh, scored, chance),
        "batch_invariant": batch_invariant(fresh, scored, chance),
        "stateless": stateless(fresh, scored),
    }
