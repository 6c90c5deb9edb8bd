"""Whether a model predicts each token from the tokens before it and nothing else.

Each check asks a process that has not seen the scoring, so that nothing it may have stored can make the
answers agree. What is compared is the loss of the true next token in nats, the very number that is scored: a
model cannot widen a tolerance by the scale of its logits.

An honest model repeats itself to the bit, or, in bfloat16 (8 bits: a logit of 10 in steps of 0.06) in
another place of a block, with unbiased rounding. So one token may differ by TOKEN_NATS, but their mean by no
more than MEAN_NATS, which is below any effect that is worth a claim. A look at one later token moves its
loss by whole nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.evaluation.scoring import token_losses
from agents.evaluation.served_model import ServedModel
from agents.evaluation.windows import Windows

TOKEN_NATS = 0.1
MEAN_NATS = 0.001
CUT_ROWS = 128
REPEATED_ROWS = 64


@dataclass(frozen=True)
class Scored:
    """What the scoring found: losses [N, T] in nats, asked in blocks of `batch` rows in this `order` [N]."""

    windows: Windows
    losses: Tensor
    order: Tensor
    batch: int
    vocabulary: int

    def whole(self, rows: int) -> int:
        """Round a number of rows to whole blocks, at least one and at most as many as there are."""
        return min(len(self.order), max(self.batch, rows)) // self.batch * self.batch


def causal(model: ServedModel, scored: Scored, chance: torch.Generator) -> bool:
    """Whether losses up to a random cut of each row stay the same when another row's tokens follow the cut.

    Those at the cuts are compared once more by themselves, for a look at only one later token moves no other.
    """
    rows = torch.randperm(len(scored.windows), generator=chance)[: scored.whole(CUT_ROWS)]
    inputs, targets, before = scored.windows.inputs[rows], scored.windows.targets[rows], scored.losses[rows]
    cuts = torch.randint(inputs.size(1) - 1, (len(rows), 1), generator=chance)
    after = token_losses(model, with_other_ends(inputs, cuts, scored.vocabulary), targets, scored.batch)
    kept = torch.arange(inputs.size(1)) <= cuts
    return agree(after[kept], before[kept]) and agree(after.gather(1, cuts), before.gather(1, cuts))


def with_other_ends(inputs: Tensor, cuts: Tensor, vocabulary: int) -> Tensor:
    """Replace what follows each row's cut by a neighbour's end; the first token after the cut surely changes.

    Inputs are [N, T], cuts [N, 1] below T-1. Natural text follows the cut, so that the row is not easily told
    from a scored one.
    """
    other = inputs.roll(1, dims=0)
    old, new = inputs.gather(1, cuts + 1), other.gather(1, cuts + 1)
    other = other.scatter(1, cuts + 1, torch.where(new == old, (old + 1) % vocabulary, new))
    return torch.where(torch.arange(inputs.size(1)) <= cuts, inputs, other)


def stateless(model: ServedModel, scored: Scored) -> bool:
    """Whether the last blocks, which had the most before them, come out the same after another past."""
    whole = scored.whole(len(scored.order))
    return _same(model, scored, scored.order[whole - scored.whole(REPEATED_ROWS) : whole])


def batch_invariant(model: ServedModel, scored: Scored, chance: torch.Generator) -> bool:
    """Whether rows come out the same in other company and at other places of a block."""
    rows = torch.randperm(len(scored.windows), generator=chance)
    return _same(model, scored, rows[: scored.whole(REPEATED_ROWS)])


def agree(first: Tensor, second: Tensor) -> bool:
    """Whether two measurements of the same losses, in nats, differ by no more than rounding."""
    difference = (first - second).double()
    return bool(difference.abs().max() <= TOKEN_NATS and difference.mean().abs() <= MEAN_NATS)


def _same(model: ServedModel, scored: Scored, rows: Tensor) -> bool:
    windows = scored.windows
    again = token_losses(model, windows.inputs[rows], windows.targets[rows], scored.batch)
    return agree(again, scored.losses[rows])
