"""The loss, from logits that nobody is trusted to have normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.evaluation.served_model import Logits, ServedModel
from agents.evaluation.windows import Ids, Windows

Losses = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# So many logits at a time stay in a processor's cache from the copy to the sum: a quarter faster than all at once.
_LOGITS_AT_ONCE = 1 << 18


def token_losses(model: ServedModel, inputs: Ids, targets: Ids, batch: int) -> Losses:
    """Return -log softmax(logits)[target] of every target in nats, [N, T], `batch` rows at a time.

    A last, short block is filled up with first rows: blocks of one shape make equal rows give equal results.
    """
    blocks = blocks_of(np.arange(len(inputs)), batch)
    losses = [cross_entropy(model.logits(inputs[block]), targets[block].ravel()) for block in blocks]
    return np.concatenate(losses).reshape(-1, targets.shape[1])[: len(targets)]


def cross_entropy(logits: Logits, targets: Ids) -> Losses:
    """Return -log softmax(logits)[target] of each row of logits, [N, V].

    The softmax runs over the whole vocabulary, so only probabilities that sum to 1 count, whatever the model
    does to its logits. A logit of minus infinity is a probability of 0; any other that is not finite spoils its row.
    Every logit is read once: a model that changes it meanwhile changes its answer, not the arithmetic.
    """
    losses = np.empty(len(logits))
    copy = np.empty((max(1, _LOGITS_AT_ONCE // logits.shape[1]), logits.shape[1]), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(logits), len(copy)):
            given = logits[start : start + len(copy)]
            part = copy[: len(given)]
            np.copyto(part, given)
            np.subtract(part, part.max(axis=1, keepdims=True), out=part)
            chosen = part[np.arange(len(part)), targets[start : start + len(part)]]
            np.exp(part, out=part)
            losses[start : start + len(part)] = np.log(part.sum(axis=1, dtype=np.float64)) - chosen
    return losses


def blocks_of(rows: Ids, batch: int) -> Sequence[Ids]:
    """Cut row numbers, [N], into blocks of exactly `batch` <= N; the last one borrows from the first."""
    return list(np.resize(rows, (-(-len(rows) // batch), batch)))


def mean_losses(losses: Losses, windows: Windows) -> dict[str, float]:
    """Return the mean of each split's losses, [N, T]."""
    return {split: float(losses[rows].mean()) for split, rows in windows.splits.items()}
