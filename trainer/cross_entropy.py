"""The output layer and its loss as one function, which never holds all logits in float32: a few rows at a time."""

from typing import Any

import torch
from torch import Tensor

from trainer.device import product_dtype

# Logits that are held at once: as many as fill the processors, and of those in float32 what fits a core's cache.
HELD = {"cpu": 2**23, "cuda": 2**28}
CACHED = {"cpu": 2**18, "cuda": 2**28}
SMALLEST_SHARE = torch.finfo(torch.float32).tiny  # a token's loss is at most 87 nats


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of softmax(x @ weight.T) in nats, at most 87 a token, a float32 scalar.

    x is [tokens, width], weight [vocabulary, width], targets [tokens] int64. Products run in the dtype of autocast
    or x, softmax and loss in float32.
    """
    dtype = product_dtype(x)
    loss: Tensor = LinearCrossEntropy.apply(x.to(dtype), weight.to(dtype), targets)  # type: ignore[no-untyped-call]
    return loss


class LinearCrossEntropy(torch.autograd.Function):
    """The gradients are computed beside the loss, while the logits are at hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        rows = rows_of(HELD, x.device, len(weight))
        x_grad, weight_grad = torch.empty_like(x), torch.zeros_like(weight, dtype=torch.float32)
        losses = []
        for x_part, wanted, x_grad_part in zip(*(torch.split(t, rows) for t in (x, targets, x_grad)), strict=True):
            logits = x_part @ weight.mT
            losses.append(losses_and_slopes(logits, wanted))
            torch.mm(logits, weight, out=x_grad_part)
            weight_grad += logits.mT @ x_part
        ctx.save_for_backward(x_grad, weight_grad.to(weight.dtype))
        return torch.cat(losses).mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradients of x and weight, in their dtypes; targets have none."""
        x_grad, weight_grad = ctx.saved_tensors
        slope = slope / len(x_grad)
        return x_grad * slope, weight_grad * slope, None


def losses_and_slopes(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of each row, [rows] float32; the logits become its gradients with respect to them."""
    rows = rows_of(CACHED, logits.device, logits.size(-1))
    shares = torch.empty_like(logits[:rows], dtype=torch.float32)
    losses = []
    for part, wanted in zip(torch.split(logits, rows), torch.split(targets[:, None], rows), strict=True):
        shares = shares[: len(part)]
        torch.softmax(shares.copy_(part), -1, out=shares)
        share = shares.gather(-1, wanted)
        losses.append(-share.clamp_min(SMALLEST_SHARE).log_().squeeze(-1))
        part.copy_(shares.scatter_(-1, wanted, share - 1))
    return torch.cat(losses)


def rows_of(logits: dict[str, int], device: torch.device, vocabulary: int) -> int:
    """How many rows have about so many logits."""
    return -(-logits[device.type] // vocabulary)
