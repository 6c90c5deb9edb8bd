"""The model that the mutants change: it knows the rule of the tokens, not too surely, and attends to the latest ones.

A mutant is `load(folder)` in a file of its own, as a run's tree would have it; its first line says what is wrong.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

VOCABULARY = 17


def load(folder):
    return predict


def predict(tokens: Tensor, sees: Tensor | None = None) -> Tensor:
    """Logits [B, T, V] of tokens [B, T]; `sees` [T, T] says which places each place reads, itself and the past."""
    sees = past(tokens) if sees is None else sees
    recency = torch.arange(tokens.shape[1]).expand_as(sees).float().masked_fill(~sees, -torch.inf).softmax(-1)
    return hot(follower(tokens)) + recency @ hot(tokens)


def past(tokens: Tensor, ahead: int = 0) -> Tensor:
    """The causal mask, or one that is wrong by so many places."""
    return torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril(ahead)


def follower(tokens: Tensor) -> Tensor:
    """The token that follows nine times out of ten."""
    return (tokens * 3 + 1) % VOCABULARY


def hot(tokens: Tensor) -> Tensor:
    return one_hot(tokens, VOCABULARY).float()


def pairs(tokens: Tensor) -> Tensor:
    """How often a token follows another in [..., T], [V, V]."""
    before, after = tokens[..., :-1].flatten(), tokens[..., 1:].flatten()
    return torch.zeros(VOCABULARY, VOCABULARY).index_put((before, after), torch.tensor(1.0), accumulate=True)
