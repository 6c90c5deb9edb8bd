"""The transformer and its initial weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from trainer.config import Configs
from trainer.model import LONGEST_WHOLE, Transformer, attend, attend_to_all, build_model, rotary_table, rotate

CPU = torch.device("cpu")
SHAPES = ({}, {"n_kv_heads": 2}, {"qk_norm": False}, {"tie_embeddings": True})


def model_of(configs: Configs) -> Transformer:
    """A model whose every projection matters: none is zero."""
    return build_model(replace(configs, zero_init=False), CPU)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[1]))


def tokens_of(configs: Configs, rows: int = 2) -> torch.Tensor:
    return torch.randint(configs.vocab_size, (rows, configs.max_seq_len), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("changes", SHAPES)
@pytest.mark.parametrize("t", [0, 1, 15, 31])
def test_no_logit_sees_a_later_token(t: int, changes: dict[str, object], tiny: Configs) -> None:
    """Another token at t leaves every logit before t as it was, and changes those at t."""
    configs = replace(tiny, **changes)
    model, tokens = model_of(configs), tokens_of(configs)
    changed = tokens.clone()
    changed[:, t] = (changed[:, t] + 1) % configs.vocab_size
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :t], after[:, :t], atol=1e-6, rtol=0)
    assert (before[:, t] - after[:, t]).abs().max() > 1e-3


def test_rows_of_a_batch_are_independent(tiny: Configs) -> None:
    """A row's logits don't depend on its neighbours."""
    model, tokens = model_of(tiny), tokens_of(tiny)
    torch.testing.assert_close(model(tokens)[:1], model(tokens[:1]), atol=1e-5, rtol=1e-5)


def test_rotation_depends_on_distance_alone() -> None:
    """The product of a rotated query and key is the same for all pairs of positions equally far apart."""
    table = rotary_table(32, 8, 100.0)
    q, k = (torch.randn(8, generator=torch.Generator().manual_seed(i)).expand(1, 1, 32, 8) for i in (0, 1))
    products = (rotate(q, table) @ rotate(k, table).mT)[0, 0]
    for distance in (0, 3, 20):
        diagonal = products.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)
    assert (products.diagonal(-3)[0] - products.diagonal(0)[0]).abs() > 1e-3


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_with_all_scores_is_torchs_attention(kv_heads: int) -> None:
    """Values and gradients, also where several query heads share keys and values."""
    q, k, v = (drawn(2, heads, 24, 8).requires_grad_() for heads in (4, kv_heads, kv_heads))
    expected = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    found = attend_to_all(q, k, v)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(result.sin().sum(), (q, k, v)) for result in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_sequences_attend_as_short_ones_do(dtype: torch.dtype) -> None:
    """Past the length from which the scores are not held whole, the first positions still get what they got."""
    q, k, v = (drawn(1, heads, LONGEST_WHOLE + 1, 8).to(dtype) for heads in (4, 2, 2))
    short = attend(q[:, :, :-1], k[:, :, :-1], v[:, :, :-1])
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(attend(q, k, v)[:, :, :-1], short, atol=tolerance, rtol=tolerance)


def test_the_loss_is_that_of_the_logits(tiny: Configs) -> None:
    """Given targets, the model returns the mean cross-entropy of what it returns without."""
    model, tokens = model_of(tiny), tokens_of(tiny)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    expected = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(model(inputs, targets), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [{"tie_embeddings": False}, {"qk_norm": False}, {"n_layers": 3}, {"n_kv_heads": 2}])
def test_a_change_of_shape_leaves_the_init_of_the_rest_alone(changes: dict[str, object], tiny: Configs) -> None:
    """Each parameter's init depends on the seed and its own name: what both models hold is bit for bit equal."""
    base = dict(build_model(replace(tiny, tie_embeddings=True), CPU).named_parameters())
    other = dict(build_model(replace(tiny, **{"tie_embeddings": True, **changes}), CPU).named_parameters())
    common = [name for name in base if name in other and base[name].shape == other[name].shape]
    assert len(common) >= 10
    assert base.keys() != other.keys() or len(common) < len(base)
    assert all(torch.equal(base[name], other[name]) for name in common)


def test_the_seed_reaches_every_matrix(tiny: Configs) -> None:
    """The original's --seed never reached the initial weights."""
    one, two = (dict(model_of(replace(tiny, seed=seed)).named_parameters()) for seed in (1, 2))
    assert not any(torch.equal(one[name], two[name]) for name in one if one[name].ndim == 2)


def test_no_two_matrices_start_alike(tiny: Configs) -> None:
    """Streams of different names are different."""
    matrices = [p for p in model_of(tiny).parameters() if p.ndim == 2]
    starts = {tuple(matrix.flatten()[:8].tolist()) for matrix in matrices}
    assert len(starts) == len(matrices)


def test_the_model_shows_no_trace_of_the_folder(tiny: Configs, tmp_path: Path) -> None:
    """Paths among the settings don't reach the weights."""
    here, there = (model_of(replace(tiny, output_dir=str(folder))) for folder in (tmp_path, Path("elsewhere")))
    assert all(torch.equal(a, b) for a, b in zip(here.parameters(), there.parameters(), strict=True))
