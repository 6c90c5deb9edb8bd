"""The output layer and its loss as one function, which holds the logits of a few rows at a time, never of all."""

from typing import Any

import torch
from torch import Tensor

CHUNK_LOGITS = {"cpu": 2**18, "cuda": 2**28}  # a chunk stays in a core's cache; on a GPU it fills the processors


SMALLEST_SHARE = torch.finfo(torch.float32).tiny  # a token's loss is at most 87 nats


def chunk_rows(device: torch.device, vocabulary: int) -> int:
    """How many rows of logits are handled at once."""
    return -(-CHUNK_LOGITS[device.type] // vocabulary)


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of softmax(x @ weight.T) in nats, a float32 scalar.

    x is [tokens, width], weight [vocabulary, width], targets [tokens] int64. Products run in the dtype of x,
    softmax and loss in float32.
    """
    loss: Tensor = LinearCrossEntropy.apply(x, weight.to(x.dtype), targets)  # type: ignore[no-untyped-call]
    return loss


class LinearCrossEntropy(torch.autograd.Function):
    """The gradients of a chunk are computed beside its loss, while its logits are at hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        rows = min(len(x), chunk_rows(x.device, len(weight)))
        logits, shares = (x.new_empty(rows, len(weight), dtype=dtype) for dtype in (x.dtype, torch.float32))
        losses = torch.empty_like(targets, dtype=torch.float32)
        x_grad, weight_grad = torch.empty_like(x), torch.zeros_like(weight, dtype=torch.float32)
        parts = zip(*(torch.split(whole, rows) for whole in (x, targets[:, None], losses, x_grad)), strict=True)
        for x_part, wanted, losses_part, x_grad_part in parts:
            logits, shares = logits[: len(x_part)], shares[: len(x_part)]
            torch.mm(x_part, weight.mT, out=logits)
            torch.softmax(shares.copy_(logits), -1, out=shares)
            share = shares.gather(-1, wanted)
            losses_part.copy_(-share.clamp_min(SMALLEST_SHARE).log_().squeeze(-1))
            slopes = logits.copy_(shares.scatter_(-1, wanted, share - 1))
            torch.mm(slopes, weight, out=x_grad_part)
            weight_grad += slopes.mT @ x_part
        ctx.save_for_backward(x_grad, weight_grad.to(weight.dtype))
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradients of x and weight, in their dtypes; targets have none."""
        x_grad, weight_grad = ctx.saved_tensors
        slope = slope / len(x_grad)
        return x_grad * slope, weight_grad * slope, None
