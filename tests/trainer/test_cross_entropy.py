"""The output layer's loss in chunks: what the plain computation gives, without its memory."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainer import cross_entropy
from trainer.cross_entropy import CACHED, HELD, linear_cross_entropy, rows_of

CPU = torch.device("cpu")


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def loss_and_gradients(function: object, x: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    loss = function(x, weight, targets)  # type: ignore[operator]
    return (loss, *torch.autograd.grad(3 * loss, (x, weight)))


def plain(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy((x @ weight.mT).float(), targets)


@pytest.mark.parametrize(("held", "cached"), [(50, 50), (50, 7), (20, 20), (7, 3), (1, 1), (1000, 1000)])
def test_chunks_give_what_the_whole_gives(held: int, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and both gradients, whether the chunks divide the rows, do not, or are larger than all."""
    monkeypatch.setitem(cross_entropy.HELD, "cpu", held * 30)
    monkeypatch.setitem(cross_entropy.CACHED, "cpu", cached * 30)
    x, weight, targets = drawn(50, 8), drawn(30, 8), torch.arange(50) % 30
    expected, found = (loss_and_gradients(f, x, weight, targets) for f in (plain, linear_cross_entropy))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_bfloat16_products_keep_a_float32_loss() -> None:
    """The loss is not rounded to bfloat16, whose neighbours are 0.03 apart here; gradients come in x's dtype."""
    x, weight, targets = drawn(512, 32).bfloat16(), drawn(64, 32).bfloat16(), torch.arange(512) % 64
    expected, found = (loss_and_gradients(f, x, weight, targets) for f in (plain, linear_cross_entropy))
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=0)
    for gradient, reference in zip(found[1:], expected[1:], strict=True):
        assert gradient.dtype == torch.bfloat16
        assert (gradient - reference).norm() < 0.01 * reference.norm()


def test_autocast_decides_the_products_dtype() -> None:
    """Whatever the output layer is given: a norm of another kind may leave float32."""
    x, weight, targets = drawn(40, 8), drawn(30, 8), torch.arange(40) % 30
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_and_gradients(linear_cross_entropy, x, weight, targets)
    expected = loss_and_gradients(linear_cross_entropy, x.bfloat16(), weight.bfloat16(), targets)
    assert torch.equal(found[0], expected[0])
    assert [gradient.dtype for gradient in found[1:]] == [torch.float32] * 2


def test_a_hopeless_token_has_a_finite_loss() -> None:
    """A probability that float32 cannot hold counts as the smallest that it can: 87 nats."""
    x, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [1000.0]])
    assert linear_cross_entropy(x, weight, torch.tensor([0])).item() == pytest.approx(87.34, abs=0.01)


def test_a_broken_model_has_no_loss() -> None:
    """NaN stays NaN: a run that has diverged is told."""
    assert linear_cross_entropy(torch.tensor([[float("nan")]]), torch.ones(2, 1), torch.tensor([0])).isnan()


def test_chunks_have_at_least_a_row() -> None:
    """A megabyte of float32 in a core's cache for any vocabulary, and no more than 32 in all."""
    assert rows_of(CACHED, CPU, 2048) == 128
    assert rows_of(HELD, CPU, 2048) == 4096
    assert rows_of(CACHED, CPU, 10**7) == 1
