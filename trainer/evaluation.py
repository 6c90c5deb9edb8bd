"""Validation: the mean loss and accuracy over a split, in float32.

PROTECTED: this is what is measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.cross_entropy import CACHED, rows_of
from trainer.data import Tokens
from trainer.device import ahead
from trainer.parallel import ALONE, World

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
    world: World = ALONE,
) -> Evaluation:
    """The mean over the targets of a split, read in disjoint windows of `seq_len` tokens.

    `limit` takes about that many tokens, in windows spread evenly over the split; None takes every token but
    the first, which nothing predicts. The ranks of `world` share the work, and all have the result.
    """
    totals = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct, count: read once, at the end
    mine = islice(windows(tokens, seq_len, limit), world.rank, None, world.size)
    for inputs, targets in ahead(mine, device):
        logits = model(inputs).flatten(0, 1)
        rows = rows_of(CACHED, device, logits.size(-1))
        for part, wanted in zip(torch.split(logits, rows), torch.split(targets.flatten(), rows), strict=True):
            totals += scores(part, wanted)
    loss, correct, count = world.sum(totals).tolist()
    return Evaluation(loss / count, correct / count)


def scores(logits: Tensor, targets: Tensor) -> Tensor:
    """[3] float64: the summed loss of [n, vocabulary] logits, in float32, the number of right guesses, and n.

    The guess is the largest logit, the first of equals.
    """
    logits, count = logits.float(), len(targets)
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    if logits.device.type == "cpu":  # where finding a maximum is much cheaper than finding its place
        leading = logits.gather(-1, targets[:, None]).squeeze(-1) == logits.amax(-1)
        logits, targets = logits[leading], targets[leading]
    right = (logits.argmax(-1) == targets).sum()
    return torch.stack([loss.double(), right.double(), torch.full_like(loss, count, dtype=torch.float64)])


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
