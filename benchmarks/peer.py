"""The default peer of benchmarks/trainer.py: a plain PyTorch loop in the manner of nanoGPT, as most people write one.

    python benchmarks/peer.py [the flags of train_llm.py]

The same architecture from the same weights on the same batches by the same recipe, in plain words: one matrix after
another, all logits in float32, the loss read at every step. `--dtype auto` means float32 here.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn
from torch.nn import functional

from optimizers.schedules import multiplier
from trainer.config import Configs
from trainer.data import Tokens, load_data, training_batches
from trainer.evaluation import windows
from trainer.flags import parse_configs
from trainer.seeds import generator

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
POLAR_EXPRESS = (  # arXiv 2505.16932
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)


class Block(nn.Module):
    """Causal attention, then a squared-ReLU feed-forward, each added to x [batch, time, d_model]."""

    def __init__(self, c: Configs) -> None:
        super().__init__()
        self.c, keys = c, c.n_kv_heads * c.head_dim
        widths = {"query": c.d_model, "key": keys, "value": keys, "output": c.d_model}
        self.attention = nn.ModuleDict({name: nn.Linear(c.d_model, w, bias=False) for name, w in widths.items()})
        up, down = nn.Linear(c.d_model, c.d_ff, bias=False), nn.Linear(c.d_ff, c.d_model, bias=False)
        self.feed_forward = nn.ModuleDict({"up": up, "down": down})
        self.attention_norm, self.feed_forward_norm = nn.RMSNorm(c.d_model, 1e-6), nn.RMSNorm(c.d_model, 1e-6)
        self.qk_norms = nn.ModuleList(nn.RMSNorm(c.head_dim, 1e-6) if c.qk_norm else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        normed, split = self.attention_norm(x), (*x.shape[:2], -1, self.c.head_dim)
        q, k, v = (self.attention[name](normed).view(split).transpose(1, 2) for name in ("query", "key", "value"))
        q, k = (rotated(norm(x.float()), angles) for norm, x in zip(self.qk_norms, (q, k), strict=True))
        sharing = self.c.n_heads // self.c.n_kv_heads
        k, v = k.repeat_interleave(sharing, dim=1), v.repeat_interleave(sharing, dim=1)
        mixed = functional.scaled_dot_product_attention(q, k, v.float(), is_causal=True)
        x = x + self.attention["output"](mixed.transpose(1, 2).reshape(x.shape))
        hidden = functional.relu(self.feed_forward["up"](self.feed_forward_norm(x))).square()
        return torch.add(x, self.feed_forward["down"](hidden))


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """The pairs (i, i + half) of x [batch, heads, time, head_dim], turned by angles [time, half]."""
    (first, second), cos, sin = x.chunk(2, dim=-1), angles[: x.size(2)].cos(), angles[: x.size(2)].sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class GPT(nn.Module):
    """Token ids [batch, time] -> logits [batch, time, vocab_size] in float32."""

    def __init__(self, c: Configs) -> None:
        super().__init__()
        self.c, half = c, c.head_dim // 2
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.n_layers))
        self.norm = nn.RMSNorm(c.d_model, 1e-6)
        self.head = nn.Linear(c.d_model, c.vocab_size, bias=False)
        rates = c.rope_base ** (-torch.arange(half) / half)
        self.register_buffer("angles", torch.arange(c.max_seq_len)[:, None] * rates, persistent=False)
        for name, parameter in self.named_parameters():
            if c.zero_init and name.endswith(("output.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02, generator=generator(c.seed, name))
        if c.tie_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.c.dtype == "bfloat16"):
            x = self.embedding(tokens) * self.c.d_model**0.5
            for block in self.blocks:
                x = block(x, self.angles)
            return functional.linear(self.norm(x), self.head.weight).float()


@torch.no_grad()
def muon(p: Tensor, average: Tensor, lr: float, c: Configs) -> None:
    """Nesterov momentum, then the polar factor, for one matrix."""
    assert p.grad is not None
    average.lerp_(p.grad, 1 - c.muon_momentum)
    x = p.grad.lerp(average, c.muon_momentum).to(torch.bfloat16 if c.dtype == "bfloat16" else torch.float32)
    x = x.mT if p.size(0) > p.size(1) else x
    x = x / (x.norm() * 1.01 + 1e-7)
    for one, three, five in POLAR_EXPRESS:
        gram = x @ x.mT
        x = one / 1.01 * x + (three / 1.01**3 * gram + five / 1.01**5 * gram @ gram) @ x
    x = x.mT if p.size(0) > p.size(1) else x
    p.mul_(1 - lr * c.muon_weight_decay).add_(x, alpha=-lr * max(1.0, p.size(0) / p.size(1)) ** 0.5)


@torch.no_grad()
def validate(model: Callable[[Tensor], Tensor], tokens: Tokens, c: Configs, limit: int | None) -> float:
    """The mean loss over the split, or over about `limit` tokens of it."""
    total = count = 0.0
    for inputs, targets in windows(tokens, c.max_seq_len, limit):
        logits = model(inputs.to(DEVICE)).flatten(0, 1)
        total += nn.CrossEntropyLoss(reduction="sum")(logits, targets.to(DEVICE).flatten()).item()
        count += targets.numel()
    return total / count


def train(c: Configs) -> dict[str, object]:
    """The run; the metrics that benchmarks/trainer.py reads: final losses, tokens, seconds of all steps alone."""
    data, model, seconds, last = load_data(c).splits, GPT(c).to(DEVICE), 0.0, 0.0
    compute = torch.compile(model) if c.compile else model
    averages = {p: torch.zeros_like(p) for p in model.blocks.parameters() if p.ndim == 2}
    others = [p for p in model.parameters() if p not in averages and p is not model.embedding.weight]
    groups: list[dict[str, Any]] = [{"params": [model.embedding.weight]}, {"params": others}]
    betas = (c.adamw_beta1, c.adamw_beta2)
    adamw, criterion = torch.optim.AdamW(groups, betas=betas, weight_decay=c.weight_decay), nn.CrossEntropyLoss()
    batches = training_batches(data["train"], c.batch_size, c.max_seq_len, c.seed)
    for step in range(1, c.steps + 1):
        if (step - 1) % c.eval_every == 0:
            print(f"eval {step - 1} val_loss {validate(compute, data['visible'], c, c.eval_tokens):.4f}", flush=True)
        began = time.perf_counter()
        factor = multiplier(step - 1, c.steps, c.schedule, c.warmup_ratio, c.cooldown_ratio, c.final_lr_ratio)
        adamw.param_groups[0]["lr"], adamw.param_groups[1]["lr"] = c.embedding_lr * factor, c.adamw_lr * factor
        inputs, targets = (part.to(DEVICE) for part in next(batches))
        loss = criterion(compute(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        if c.grad_clip:
            nn.utils.clip_grad_norm_(model.parameters(), c.grad_clip)
        for p, average in averages.items():
            muon(p, average, c.muon_lr * factor, c)
        adamw.step()
        model.zero_grad(set_to_none=True)
        last = loss.item()
        seconds += time.perf_counter() - began
        if step in (1, c.steps) or step % c.log_every == 0:
            print(f"step {step}/{c.steps} loss {last:.4f}", flush=True)
    final = {"val_loss": validate(compute, data["visible"], c, None), "train_loss": last}
    torch.save(model.state_dict(), Path(c.output_dir) / "model.pt")
    return {"final_metrics": final, "tokens_seen": c.steps * c.tokens_per_step, "active_training_time_seconds": seconds}


if __name__ == "__main__":
    configs = parse_configs(sys.argv[1:], "peer.py")
    torch.set_num_threads(configs.threads or torch.get_num_threads())
    path = Path(configs.output_dir) / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(train(configs)))
    print(f"metrics {path}")
