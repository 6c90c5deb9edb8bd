"""A decoder-only transformer: RoPE, pre-RMSNorm, QK-norm, grouped-query attention, squared ReLU."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import Configs
from trainer.seeds import generator

NORM_EPSILON = 1e-6
INIT_STD = 0.02


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last dimension, with a gain (arXiv 1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), NORM_EPSILON)


def rotary_table(length: int, head_dim: int, base: float) -> Tensor:
    """The angles' cosines and sines, [2, length, head_dim / 2] float32 (arXiv 2104.09864)."""
    rates = base ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), rates)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns the pairs (i, i + head_dim / 2) of x [batch, heads, time, head_dim] by each position's angles."""
    cos, sin = table[:, : x.size(-2)].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Attention(nn.Module):
    """Causal self-attention; n_kv_heads key and value heads serve n_heads query heads (arXiv 2305.13245)."""

    def __init__(self, configs: Configs) -> None:
        super().__init__()
        self.head_dim = configs.head_dim
        self.grouped = configs.n_kv_heads != configs.n_heads
        inner, inner_kv = configs.n_heads * self.head_dim, configs.n_kv_heads * self.head_dim
        self.query = nn.Linear(configs.d_model, inner, bias=False)
        self.key = nn.Linear(configs.d_model, inner_kv, bias=False)
        self.value = nn.Linear(configs.d_model, inner_kv, bias=False)
        self.output = nn.Linear(inner, configs.d_model, bias=False)
        self.query_norm = RMSNorm(self.head_dim) if configs.qk_norm else nn.Identity()
        self.key_norm = RMSNorm(self.head_dim) if configs.qk_norm else nn.Identity()

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """x is [batch, time, d_model], and so is the result."""
        q, k, v = (self.heads(project(x)) for project in (self.query, self.key, self.value))
        q, k = rotate(self.query_norm(q), table), rotate(self.key_norm(k), table)
        with torch.autocast(x.device.type, enabled=x.device.type != "cpu"):
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.grouped)
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return joined

    def heads(self, x: Tensor) -> Tensor:
        """[batch, time, heads * head_dim] -> [batch, heads, time, head_dim]."""
        split = x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)
        # CPUs attend twice as fast in float32 as in bfloat16.
        return split.float() if split.device.type == "cpu" else split


class FeedForward(nn.Module):
    """Two matrices with a squared ReLU between them (Primer, arXiv 2109.08668)."""

    def __init__(self, configs: Configs) -> None:
        super().__init__()
        self.up = nn.Linear(configs.d_model, configs.d_ff, bias=False)
        self.down = nn.Linear(configs.d_ff, configs.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down(functional.relu(self.up(x)).square())
        return result


class Block(nn.Module):
    """Attention, then feed-forward, each on a normalised copy of the residual stream."""

    def __init__(self, configs: Configs) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(configs.d_model)
        self.attention = Attention(configs)
        self.feed_forward_norm = RMSNorm(configs.d_model)
        self.feed_forward = FeedForward(configs)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), table)
        fed: Tensor = self.feed_forward(self.feed_forward_norm(x))
        return x + fed


class Transformer(nn.Module):
    """Token ids [batch, time] int64 -> logits [batch, time, vocab_size]; time is at most max_seq_len."""

    def __init__(self, configs: Configs) -> None:
        super().__init__()
        self.embedding = nn.Embedding(configs.vocab_size, configs.d_model)
        self.blocks = nn.ModuleList(Block(configs) for _ in range(configs.n_layers))
        self.norm = RMSNorm(configs.d_model)
        untied = not configs.tie_embeddings
        self.head = nn.Linear(configs.d_model, configs.vocab_size, bias=False) if untied else None
        table = rotary_table(configs.max_seq_len, configs.head_dim, configs.rope_base)
        self.register_buffer("table", table, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        for block in self.blocks:
            x = block(x, self.table)
        x = self.norm(x)
        output = self.embedding.weight if self.head is None else self.head.weight
        return functional.linear(x, output)


@torch.no_grad()
def initialize(model: Transformer, configs: Configs) -> None:
    """Draws every matrix from N(0, 0.02), each from a stream of its own name; gains stay at 1.

    With `zero_init` the projections that end a block start at zero: every block is first the identity.
    """
    for name, parameter in model.named_parameters():
        ends = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
        if configs.zero_init and ends:
            parameter.zero_()
        elif parameter.ndim == 2:
            stream = generator(configs.seed, name)
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, INIT_STD, generator=stream))


def build_model(configs: Configs, device: torch.device) -> Transformer:
    """The model at its initial weights, which depend on the seed and each parameter's name alone."""
    model = Transformer(configs)
    initialize(model, configs)
    return model.to(device)
