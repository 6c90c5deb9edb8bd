"""Which optimizer trains which parameter."""

import torch
from torch import nn

from optimizers.adamw import AdamW
from optimizers.muon import Muon
from optimizers.optimizer import Optimizer
from trainer.config import Configs
from trainer.parallel import ALONE, World


def build_optimizers(model: nn.Module, configs: Configs, world: World = ALONE) -> list[Optimizer]:
    """Muon for the matrices inside the blocks; AdamW for the embedding, the head and the gains."""
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2]
    embedding = [p for name, p in named.items() if name == "embedding.weight"]
    chosen = {id(p) for p in (*matrices, *embedding)}
    others = [p for p in named.values() if id(p) not in chosen]
    betas = (configs.adamw_beta1, configs.adamw_beta2)
    dtype = torch.bfloat16 if configs.dtype == "bfloat16" else torch.float32
    return [
        Muon(matrices, configs.muon_lr, configs.muon_momentum, configs.muon_weight_decay, dtype, world),
        AdamW([(embedding, configs.embedding_lr), (others, configs.adamw_lr)], betas, configs.weight_decay),
    ]
