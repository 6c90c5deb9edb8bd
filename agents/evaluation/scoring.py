"""The loss, from logits that nobody is trusted to have normalised."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn import functional

from agents.evaluation.served_model import ServedModel
from agents.evaluation.windows import Windows


def token_losses(model: ServedModel, inputs: Tensor, targets: Tensor, batch: int) -> Tensor:
    """Return -log softmax(logits)[target] of every target in nats, [N, T] float32, `batch` rows at a time.

    The softmax runs over the whole vocabulary, so only probabilities that sum to 1 count, whatever the model
    does to its logits. A last, short block is filled up with first rows: blocks of one shape make equal rows
    give equal results.
    """
    blocks = blocks_of(torch.arange(len(inputs)), batch)
    losses = []
    model.ask(inputs[blocks[0]])
    for block, following in zip_longest(blocks, blocks[1:]):
        logits = model.logits()
        if following is not None:
            model.ask(inputs[following])
        losses.append(functional.cross_entropy(logits, targets[block].flatten(), reduction="none"))
    return torch.cat(losses).view(-1, targets.size(1))[: len(targets)]


def blocks_of(rows: Tensor, batch: int) -> Sequence[Tensor]:
    """Cut row numbers, [N], into blocks of exactly `batch` <= N; the last one borrows from the first."""
    filled = rows.repeat(2)[: -(-len(rows) // batch) * batch]
    return list(filled.view(-1, batch))


def mean_losses(losses: Tensor, windows: Windows) -> dict[str, float]:
    """Return the mean of each split's losses, [N, T], summed in float64."""
    return {split: losses[rows].double().mean().item() for split, rows in windows.splits.items()}
