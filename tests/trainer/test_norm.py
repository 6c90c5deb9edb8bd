"""The normalisation: values and gradients of torch's own, on a CPU as on a GPU."""

import pytest
import torch
from torch.nn import functional

from trainer.norm import EPSILON, RMSNorm, rms_norm


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[-1]))


@pytest.mark.parametrize("shape", [(6, 16), (2, 3, 5, 8)])
def test_it_is_torchs_normalisation(shape: tuple[int, ...]) -> None:
    """The result and the gradients of the input and the gain."""
    x, gain = drawn(*shape).requires_grad_(), (drawn(shape[-1]) + 1).requires_grad_()
    found, expected = rms_norm(x, gain), functional.rms_norm(x, gain.shape, gain, EPSILON)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(normal.sin().sum(), (x, gain)) for normal in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_zeros_stay_zeros() -> None:
    """Without a division by zero, forwards and backwards."""
    x = torch.zeros(2, 4, requires_grad=True)
    normal = RMSNorm(4)(x)
    normal.sum().backward()
    assert not normal.any()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_products_get_their_dtype() -> None:
    """Under autocast the result is in the dtype of the products that come next, and the gradient in the input's."""
    x = drawn(3, 8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        normal = RMSNorm(8)(x)
    assert normal.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(normal.float().sum(), x)
    assert gradient.dtype == torch.float32
