"""Muon: the polar factor, the update, the optimizer."""

import pytest
import torch
from torch import Tensor

from optimizers.muon import Muon, muon_update, orthogonalize


def matrices(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 16, 64), (2, 64, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Of random matrices, square, wide and tall, whose singular values span two orders of magnitude."""
    u, _, v = torch.linalg.svd(matrices(*shape), full_matrices=False)
    spread = torch.logspace(-2, 0, min(shape[1:]))
    values = torch.linalg.svdvals(orthogonalize(u * spread @ v, dtype))
    assert (values - 1).abs().max() < 0.15


def test_the_polar_factor_keeps_the_singular_vectors() -> None:
    """The result is near U V^T, not merely some orthogonal matrix."""
    x = matrices(4, 24, 40)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    torch.testing.assert_close(orthogonalize(x, torch.float32), u @ v, atol=0.05, rtol=0.05)


def test_a_zero_gradient_gives_a_zero_update() -> None:
    """No division by a norm of zero."""
    updates, averages = muon_update(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8), 0.95)
    assert not updates.any()
    assert not averages.any()


def test_the_scale_of_the_gradient_does_not_matter() -> None:
    """A gradient a thousand times as large gives the same update."""
    x = matrices(2, 16, 16)
    small, _ = muon_update(x, torch.zeros_like(x), 0.9, torch.float32)
    large, _ = muon_update(1000 * x, torch.zeros_like(x), 0.9, torch.float32)
    torch.testing.assert_close(small, large, atol=1e-3, rtol=1e-3)


def test_tall_matrices_move_more() -> None:
    """A matrix with four times as many rows as columns takes twice the step."""
    x = matrices(1, 64, 16)
    updates, _ = muon_update(x, torch.zeros_like(x), 0.0, torch.float32)
    torch.testing.assert_close(updates, 2 * orthogonalize(x, torch.float32))


def test_the_average_is_nesterov() -> None:
    """The average is an exponential one, and the update looks one step ahead of it."""
    gradient, average = matrices(1, 8, 8), matrices(1, 8, 8).flip(1)
    updates, moved = muon_update(gradient, average, 0.9, torch.float32)
    expected = 0.9 * average + 0.1 * gradient
    torch.testing.assert_close(moved, expected)
    ahead = orthogonalize(0.9 * expected + 0.1 * gradient, torch.float32)
    torch.testing.assert_close(updates, ahead)


def test_stacking_changes_nothing() -> None:
    """Matrices of one shape, trained together, move as each would alone."""
    starts, gradients = matrices(3, 8, 8), matrices(3, 8, 8).flip(0)
    together = [torch.nn.Parameter(start.clone()) for start in starts]
    alone = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizers = [Muon(together, lr=0.1, dtype=torch.float32)]
    optimizers += [Muon([p], lr=0.1, dtype=torch.float32) for p in alone]
    for _ in range(3):
        for group in (together, alone):
            for parameter, gradient in zip(group, gradients, strict=True):
                parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_weight_decay_is_decoupled() -> None:
    """With a gradient of zero the matrix shrinks by lr * weight_decay, whatever the momentum."""
    parameter = torch.nn.Parameter(torch.ones(4, 4))
    parameter.grad = torch.zeros(4, 4)
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(parameter.detach(), torch.full((4, 4), 0.95))


def test_matrices_without_a_gradient_stay() -> None:
    """Neither moved nor decayed."""
    idle, moved = torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4, 4))
    moved.grad = torch.eye(4)
    Muon([idle, moved], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(idle, torch.ones(4, 4))
    assert not torch.equal(moved, torch.ones(4, 4))


def test_vectors_are_refused() -> None:
    """They belong to AdamW; the message names the shape."""
    with pytest.raises(ValueError, match=r"not for a parameter of shape \(4,\)"):
        Muon([torch.nn.Parameter(torch.ones(4))], lr=0.1)
