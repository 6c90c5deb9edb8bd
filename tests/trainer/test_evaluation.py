"""Validation: exact, whole, and independent of how training is cut."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainer.config import Configs
from trainer.data import load_data
from trainer.evaluation import evaluate, windows
from trainer.model import build_model
from trainer.parallel import World

CPU = torch.device("cpu")


def bigram(tokens: Tensor) -> Tensor:
    """A model of 10 tokens that sees one: its logits are a fixed table's."""
    return torch.randn(10, 10, generator=torch.Generator().manual_seed(0))[tokens]


def test_the_mean_is_over_every_token_but_the_first() -> None:
    """Also where the last window is shorter than the others."""
    tokens = np.random.default_rng(0).integers(0, 10, 1003).astype(np.uint16)
    ids = torch.from_numpy(tokens.astype(np.int64))
    result = evaluate(bigram, tokens, 32, CPU)
    assert result.loss == pytest.approx(functional.cross_entropy(bigram(ids[:-1]), ids[1:]).item(), abs=1e-5)
    hits = (bigram(ids[:-1]).argmax(-1) == ids[1:]).float().mean().item()
    assert result.accuracy == pytest.approx(hits, abs=1e-6)


def test_of_equal_logits_the_first_is_the_guess() -> None:
    """A model that says nothing is right about token 0 alone."""
    result = evaluate(lambda tokens: torch.zeros(*tokens.shape, 4), np.arange(41, dtype=np.uint16) % 4, 8, CPU)
    assert result.accuracy == 10 / 40


@pytest.mark.parametrize("seq_len", [2, 7, 64, 5000])
def test_windows_cover_a_split(seq_len: int) -> None:
    """Without a gap or an overlap, whatever the length."""
    tokens = np.arange(1000, dtype=np.uint16)
    targets = torch.cat([targets.flatten() for _, targets in windows(tokens, seq_len, None)])
    assert targets.tolist() == list(range(1, 1000))


@pytest.mark.parametrize("limit", [1, 32, 100, 500, 10_000])
def test_a_limit_takes_windows_from_all_over(limit: int) -> None:
    """No more tokens than asked for, but at least one window."""
    tokens = np.arange(1000, dtype=np.uint16)
    targets = torch.cat([targets.flatten() for _, targets in windows(tokens, 10, limit)])
    assert 10 <= len(targets) <= max(10, limit)
    assert len(targets) > min(limit, 999) / 2
    assert limit < 100 or targets.max() > 800


def test_the_batch_size_of_training_does_not_reach_it(tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """The original evaluated batch_size * 100 windows: another batch size was another split."""
    small, large = train_tiny(batch_size=1), train_tiny(batch_size=8)
    assert small.losses[0] == large.losses[0]


def test_logits_in_bfloat16_are_measured_in_float32() -> None:
    """The original's bfloat16 losses were multiples of 1/32."""
    tokens = np.random.default_rng(0).integers(0, 10, 999).astype(np.uint16)
    rounded = evaluate(lambda ids: bigram(ids).bfloat16(), tokens, 32, CPU).loss
    exact = evaluate(bigram, tokens, 32, CPU).loss
    assert rounded == pytest.approx(exact, abs=0.01)
    assert float(torch.tensor(rounded).bfloat16()) != rounded


def test_the_first_evaluation_is_before_any_update(tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """It equals an evaluation of the initial weights; the original's came after one update."""
    configs = replace(tiny, dtype="float32")
    model = build_model(configs, CPU)
    expected = evaluate(model, load_data(configs).splits["visible"], configs.max_seq_len, CPU)
    run = train_tiny(dtype="float32")
    assert run.metrics["history"]["steps"][0] == 0
    assert run.losses[0] == expected.loss


def test_the_last_evaluation_takes_the_whole_split(tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """Whatever part of it the others take."""
    part, whole = train_tiny(eval_tokens=64), train_tiny(eval_tokens=10**6)
    assert part.losses[-1] == whole.losses[-1]
    assert part.losses[0] != whole.losses[0]


def test_an_untrained_model_guesses(tiny: Configs) -> None:
    """Its loss is near log(vocab_size): nothing favours any token yet."""
    loss = evaluate(build_model(tiny, CPU), load_data(tiny).splits["visible"], 32, CPU).loss
    assert loss == pytest.approx(np.log(tiny.vocab_size), abs=0.05)


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("limit", [None, 4096 * 4])
def test_ranks_share_an_evaluation(size: int, limit: int | None) -> None:
    """Their sums are those of one process, also where there are more ranks than chunks."""

    class Rank(World):
        """Adds up what the ranks before it, in turn, had found."""

        def __init__(self, rank: int) -> None:
            self.rank, self.size = rank, size

        def sum(self, tensor: Tensor) -> Tensor:
            totals.append(tensor.clone())
            return torch.stack(totals).sum(0)

    tokens = np.random.default_rng(0).integers(0, 10, 4096 * 6 + 7).astype(np.uint16)
    totals: list[Tensor] = []
    for rank in range(size):
        shared = evaluate(bigram, tokens, 32, CPU, limit, Rank(rank))
    alone = evaluate(bigram, tokens, 32, CPU, limit)
    assert shared.loss == pytest.approx(alone.loss, abs=1e-9)
    assert shared.accuracy == pytest.approx(alone.accuracy, abs=1e-9)
    assert len({tuple(total.tolist()) for total in totals if total[2]}) > 1
