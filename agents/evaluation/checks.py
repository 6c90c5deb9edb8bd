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

import numpy as np

from agents.evaluation.scoring import Losses, token_losses
from agents.evaluation.served_model import ServedModel
from agents.evaluation.windows import Ids, Windows

TOKEN_NATS = 0.1
MEAN_NATS = 0.001
CUT_ROWS = 128
REPEATED_ROWS = 32


@dataclass(frozen=True)
class Scored:
    """What the scoring found: losses [N, T] in nats, asked in blocks of `batch` rows in this `order` [N]."""

    windows: Windows
    losses: Losses
    order: Ids
    batch: int
    vocabulary: int

    def whole(self, rows: int) -> int:
        """Round a number of rows to whole blocks, at least one and at most as many as there are."""
        return min(len(self.order), max(self.batch, rows)) // self.batch * self.batch


def causal(model: ServedModel, scored: Scored, chance: np.random.Generator) -> bool:
    """Whether losses up to a random cut of each row stay the same when another row's tokens follow the cut.

    Those at the cuts are compared once more by themselves, for a look at only one later token moves no other. No
    place is cut twice before each has been cut once, so that a look from a single place is seen too.
    """
    rows = chance.permutation(len(scored.windows))[: scored.whole(CUT_ROWS)]
    inputs, targets, before = scored.windows.inputs[rows], scored.windows.targets[rows], scored.losses[rows]
    cuts = np.resize(chance.permutation(inputs.shape[1] - 1), (len(rows), 1))
    after = token_losses(model, with_other_ends(inputs, cuts, scored.vocabulary), targets, scored.batch)
    kept, at_cuts = np.arange(inputs.shape[1]) <= cuts, (np.arange(len(rows)), cuts[:, 0])
    return agree(after[kept], before[kept]) and agree(after[at_cuts], before[at_cuts])


def with_other_ends(inputs: Ids, cuts: Ids, vocabulary: int) -> Ids:
    """Replace what follows each row's cut by a neighbour's end; the first token after the cut surely changes.

    Inputs are [N, T], cuts [N, 1] below T-1. Natural text follows the cut, so that the row is not easily told
    from a scored one.
    """
    other = np.roll(inputs, 1, axis=0)
    after_cuts = np.arange(len(inputs)), cuts[:, 0] + 1
    old, new = inputs[after_cuts], other[after_cuts]
    other[after_cuts] = np.where(new == old, (old + 1) % vocabulary, new)
    return np.where(np.arange(inputs.shape[1]) <= cuts, inputs, other)


def stateless(model: ServedModel, scored: Scored) -> bool:
    """Whether the last blocks, which had the most before them, come out the same after another past."""
    whole = scored.whole(len(scored.order))
    return _same(model, scored, scored.order[whole - scored.whole(REPEATED_ROWS) : whole])


def batch_invariant(model: ServedModel, scored: Scored, chance: np.random.Generator) -> bool:
    """Whether rows come out the same in other company and at other places of a block."""
    rows = chance.permutation(len(scored.windows))
    return _same(model, scored, rows[: scored.whole(REPEATED_ROWS)])


def agree(first: Losses, second: Losses) -> bool:
    """Whether two measurements of the same losses, in nats, differ by no more than rounding."""
    difference = first - second
    return bool(np.abs(difference).max() <= TOKEN_NATS and abs(difference.mean()) <= MEAN_NATS)


def _same(model: ServedModel, scored: Scored, rows: Ids) -> bool:
    windows = scored.windows
    again = token_losses(model, windows.inputs[rows], windows.targets[rows], scored.batch)
    return agree(again, scored.losses[rows])
