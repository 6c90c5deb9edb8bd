"""Validation: the mean loss and accuracy over a split, in float32.

PROTECTED: this is what is measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.data import Tokens

CHUNK_TOKENS = 4096  # tokens evaluated at a time; a constant, so that no setting moves the result


@dataclass(frozen=True)
class Evaluation:
    """The mean cross-entropy in nats per token, and the share of tokens that were the most likely one."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: Callable[[Tensor], Tensor],
    tokens: Tokens,
    seq_len: int,
    device: torch.device,
    limit: int | None = None,
) -> Evaluation:
    """The mean over the targets of a split, read in disjoint windows of `seq_len` tokens.

    `limit` takes about that many tokens, in windows spread evenly over the split; None takes every token but
    the first, which nothing predicts.
    """
    loss = correct = count = 0.0
    for inputs, targets in windows(tokens, seq_len, limit):
        logits = model(inputs.to(device)).float().flatten(0, 1)
        flat = targets.to(device).flatten()
        loss += functional.cross_entropy(logits, flat, reduction="sum").item()
        correct += (logits.argmax(-1) == flat).sum().item()
        count += flat.numel()
    return Evaluation(loss / count, correct / count)


def windows(tokens: Tokens, seq_len: int, limit: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """(inputs, targets), each [rows, seq_len] int64; the last window of a whole split may be shorter."""
    ids = torch.from_numpy(tokens.astype(np.int64))
    whole = (len(ids) - 1) // seq_len
    inputs, targets = (ids[shift : shift + whole * seq_len].view(whole, seq_len) for shift in (0, 1))
    rest = None
    if limit is not None and limit < whole * seq_len:
        chosen = torch.arange(0, whole, -(-whole // max(1, limit // seq_len)))
        inputs, targets = inputs[chosen], targets[chosen]
    elif whole * seq_len < len(ids) - 1:
        rest = (ids[whole * seq_len : -1][None], ids[whole * seq_len + 1 :][None])
    rows = max(1, CHUNK_TOKENS // seq_len)
    yield from zip(torch.split(inputs, rows), torch.split(targets, rows), strict=True)
    if rest is not None:
        yield rest
