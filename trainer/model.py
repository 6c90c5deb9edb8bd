"""A decoder-only transformer: RoPE, pre-RMSNorm, QK-norm, grouped-query attention, squared ReLU."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import Configs
from trainer.cross_entropy import linear_cross_entropy
from trainer.norm import RMSNorm
from trainer.seeds import generator

INIT_STD = 0.02
LONGEST_WHOLE = 512  # tokens: the scores' memory grows with the square


def rotary_table(length: int, head_dim: int, base: float) -> Tensor:
    """The angles' cosines and signed sines, [2, length, head_dim] float32 (arXiv 2104.09864)."""
    rates = base ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), rates)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns the pairs (i, i + head_dim / 2) of x [batch, heads, time, head_dim] by each position's angles."""
    cos, sin = table[:, : x.size(-2)].to(x.dtype)
    return torch.addcmul(x * cos, x.roll(x.size(-1) // 2, -1), sin)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of q [batch, heads, time, head_dim] to k and v, which may have fewer heads; shaped as q.

    On a CPU the scores of short sequences are held whole: at 128 tokens that is twice as fast as torch's kernel, which
    never does.
    """
    if q.device.type == "cpu" and q.size(2) <= LONGEST_WHOLE:
        return attend_to_all(q, k, v)
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.size(1) != k.size(1))


def attend_to_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with all scores in memory, batch x heads x time x time of them."""
    batch, heads, time, head_dim = q.shape
    groups = heads // k.size(1)
    future = torch.full((time, time), -math.inf, dtype=q.dtype, device=q.device).triu(1).repeat(groups, 1)
    q = q.reshape(-1, groups * time, head_dim)
    k, v = (part.reshape(-1, time, head_dim) for part in (k, v))
    scores = torch.baddbmm(future, q, k.mT, alpha=head_dim**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(batch, heads, time, head_dim)


class Attention(nn.Module):
    """Causal self-attention; n_kv_heads key and value heads serve n_heads query heads (arXiv 2305.13245)."""

    def __init__(self, configs: Configs) -> None:
        super().__init__()
        self.head_dim = configs.head_dim
        self.heads = [configs.n_heads, configs.n_kv_heads, configs.n_kv_heads]
        inner, inner_kv, _ = (heads * self.head_dim for heads in self.heads)
        self.query = nn.Linear(configs.d_model, inner, bias=False)
        self.key = nn.Linear(configs.d_model, inner_kv, bias=False)
        self.value = nn.Linear(configs.d_model, inner_kv, bias=False)
        self.output = nn.Linear(inner, configs.d_model, bias=False)
        self.query_norm = RMSNorm(self.head_dim) if configs.qk_norm else nn.Identity()
        self.key_norm = RMSNorm(self.head_dim) if configs.qk_norm else nn.Identity()

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """x is [batch, time, d_model], and so is the result."""
        weights = torch.cat([self.query.weight, self.key.weight, self.value.weight])  # one product for three
        heads = functional.linear(x, weights).view(*x.shape[:2], -1, self.head_dim).transpose(1, 2).contiguous()
        q, k, v = torch.split(heads, self.heads, dim=1)
        mixed = attend(rotate(self.query_norm(q), table), rotate(self.key_norm(k), table), v)
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return joined


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

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        """The logits; or, where the next tokens are given, [batch, time] int64, their mean loss, a float32."""
        x = self.hidden(tokens)
        output = self.embedding.weight if self.head is None else self.head.weight
        if targets is None:
            return functional.linear(x, output)
        return linear_cross_entropy(x.flatten(0, 1), output, targets.flatten())

    def compile_blocks(self) -> None:
        """Has all but the output layer compiled at the next call."""
        self.hidden = torch.compile(self.hidden, dynamic=False)  # type: ignore[method-assign]

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, [batch, time, d_model]."""
        x = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        for block in self.blocks:
            x = block(x, self.table)
        normal: Tensor = self.norm(x)
        return normal


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
