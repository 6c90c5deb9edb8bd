"""AdamW: moments of the gradient, and weight decay beside them (arXiv 1711.05101)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from optimizers.optimizer import Group, Memory, Optimizer

EPSILON = 1e-8


class AdamW(Optimizer):
    """torch's fused kernel over groups of parameters, each a pair (parameters, rate).

    `weight_decay` is decoupled: a step first shrinks each parameter by lr * weight_decay.
    """

    def __init__(
        self,
        groups: Iterable[tuple[Sequence[Tensor], float]],
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(Group(list(parameters), lr) for parameters, lr in groups)
        self.betas, self.weight_decay = betas, weight_decay
        for group in self.groups:
            group.remember("average", "square")
            group.memory["steps"] = [torch.zeros((), device=parameter.device) for parameter in group.parameters]

    def move(self, parameters: list[Tensor], memory: Memory, lr: float) -> None:
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            memory["average"],
            memory["square"],
            [],
            memory["steps"],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=lr,
            weight_decay=self.weight_decay,
            eps=EPSILON,
        )
