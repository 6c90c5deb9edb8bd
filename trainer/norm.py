"""Root-mean-square normalisation (arXiv 1910.07467), with a gradient of few passes over memory for CPUs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.device import product_dtype

EPSILON = 1e-6


class RMSNorm(nn.Module):
    """Scales the last dimension to a root mean square of 1, then by a gain for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x in any dtype; the result in that of the matrix products that come next."""
        if x.device.type == "cpu":
            return rms_norm(x, self.weight)
        normal = functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPSILON)
        return normal.to(product_dtype(x))


def rms_norm(x: Tensor, gain: Tensor) -> Tensor:
    """x / rms(x) * gain, computed in float32. torch has a kernel for it on GPUs only."""
    normal: Tensor = Normalization.apply(x, gain, product_dtype(x))  # type: ignore[no-untyped-call]
    return normal


class Normalization(torch.autograd.Function):
    """With unit = x / rms(x), the gradient of x is (s - unit * mean(s * unit)) / rms(x), where s = slope * gain."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, dtype: torch.dtype) -> Tensor:
        wide = x.float()
        norms = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scales = (norms.square_() / x.size(-1)).add_(EPSILON).rsqrt_()
        units = wide * scales
        ctx.save_for_backward(units, scales, gain)
        ctx.dtype = x.dtype
        normal: Tensor = (units * gain).to(dtype)
        return normal

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        units, scales, gain = ctx.saved_tensors
        along = slope.float() * units
        gain_grad = along.flatten(0, -2).sum(0)
        means = (along @ gain).unsqueeze(-1) / units.size(-1)
        x_grad: Tensor = (slope * gain).addcmul_(units, means, value=-1).mul_(scales)
        return x_grad.to(ctx.dtype), gain_grad, None
