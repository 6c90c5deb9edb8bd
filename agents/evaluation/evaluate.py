"""One evaluation: score every window and, if asked, check in a fresh process that the scores were honest."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from agents.evaluation.checks import Scored, batch_invariant, causal, stateless
from agents.evaluation.scoring import mean_losses, token_losses
from agents.evaluation.served_model import ModelCard, ServedModel
from agents.evaluation.windows import Windows
from agents.laboratory.sandbox import Sandbox

CHECKS = ("causal", "batch_invariant", "stateless")


@dataclass(frozen=True)
class Evaluation:
    """The mean loss of each split in nats per token, None if a check failed.

    Unless the checks were asked for, `finite` is the only one. One is None if it could not be made, for losses
    that are not finite compare with nothing.
    """

    values: dict[str, float | None]
    tokens_scored: dict[str, int]
    checks: dict[str, bool | None]
    seconds: float


def evaluate(card: ModelCard, windows: Windows, sandbox: Sandbox, seed: int, checked: bool) -> Evaluation:
    """Score a model; raise LaboratoryError if it ends, hangs, or gives logits of another shape.

    Both processes start at once, for most of their time goes into imports. Rows are asked in an order drawn
    from `seed`, so that a model cannot tell the scoring by its order from the checks.
    """
    started = time.monotonic()
    chance = np.random.default_rng(seed)
    with ExitStack() as processes:
        model = processes.enter_context(ServedModel(card, sandbox))
        fresh = processes.enter_context(ServedModel(card, sandbox)) if checked else None
        model.wait()
        scored = _score(model, card, windows, chance)
        checks: dict[str, bool | None] = {"finite": bool(np.isfinite(scored.losses).all())}
        if fresh:
            checks |= _check(fresh, scored, chance) if checks["finite"] else dict.fromkeys(CHECKS)
    values: dict[str, float | None] = dict.fromkeys(windows.splits)
    if all(checks.values()):
        values |= mean_losses(scored.losses, windows)
    counts = {split: scored.losses[rows].size for split, rows in windows.splits.items()}
    return Evaluation(values, counts, checks, round(time.monotonic() - started, 3))


def _score(model: ServedModel, card: ModelCard, windows: Windows, chance: np.random.Generator) -> Scored:
    order = chance.permutation(len(windows))
    losses = np.empty(windows.targets.shape)
    losses[order] = token_losses(model, windows.inputs[order], windows.targets[order], card.batch)
    return Scored(windows, losses, order, card.batch, card.vocabulary)


def _check(fresh: ServedModel, scored: Scored, chance: np.random.Generator) -> dict[str, bool]:
    fresh.wait()
    results = (causal(fresh, scored, chance), batch_invariant(fresh, scored, chance), stateless(fresh, scored))
    return dict(zip(CHECKS, results, strict=True))
