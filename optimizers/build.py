"""Which optimizer trains which parameter."""

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from optimizers.muon import Muon
from trainer.config import Configs


def build_optimizers(model: nn.Module, configs: Configs) -> list[Optimizer]:
    """Muon for the matrices inside the blocks; AdamW for the embedding, the head and the gains.

    Each group keeps its peak rate under "peak_lr", which `set_multiplier` scales.
    """
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2]
    embedding = [p for name, p in named.items() if name == "embedding.weight"]
    chosen = {id(p) for p in (*matrices, *embedding)}
    others = [p for p in named.values() if id(p) not in chosen]
    dtype = torch.bfloat16 if configs.dtype == "bfloat16" else torch.float32
    optimizers: list[Optimizer] = [
        Muon(matrices, configs.muon_lr, configs.muon_momentum, configs.muon_weight_decay, dtype),
        AdamW(
            [{"params": embedding, "lr": configs.embedding_lr}, {"params": others, "lr": configs.adamw_lr}],
            weight_decay=configs.weight_decay,
            fused=True,
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_multiplier(optimizers: list[Optimizer], multiplier: float) -> None:
    """Sets every group's rate to its peak times `multiplier`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * multiplier
