"""Muon: momentum, then the nearest semi-orthogonal matrix (Jordan 2024, kellerjordan.github.io/posts/muon).

For the hidden matrices of a network only: embeddings, heads, gains and biases belong to AdamW.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from optimizers.optimizer import Group, Memory, Optimizer
from trainer.parallel import ALONE, World

# Odd quintics a*s + b*s^3 + c*s^5, one a step, each optimal for the interval that the one before leaves:
# the table of "The Polar Express" (Amsel et al., arXiv 2505.16932) for singular values from 1e-3 to 1.
POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
SAFETY = 1.01  # the paper's guard: rounding may push a singular value above 1, where the quintics diverge


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The polar factor of each matrix, approximately: same singular vectors, singular values near 1.

    `matrices` is [n, rows, columns]; the result has its shape and dtype. The iteration runs in `dtype`.
    """
    x = matrices.to(dtype)
    wide = x.size(-2) <= x.size(-1)
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * SAFETY + 1e-7)
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        even = torch.baddbmm(gram, gram, gram, beta=b / SAFETY**3, alpha=c / SAFETY**5)
        x = torch.baddbmm(x, even, x, beta=a / SAFETY)
    return (x if wide else x.mT).to(matrices.dtype)


def muon_update(
    gradients: Tensor, averages: Tensor, momentum: float, dtype: torch.dtype = torch.bfloat16
) -> tuple[Tensor, Tensor]:
    """One Nesterov step: (updates, new averages), all [n, rows, columns].

    Updates are scaled by sqrt(max(1, rows / columns)): a tall matrix moves its outputs as a square one does.
    """
    averages = torch.lerp(gradients, averages, momentum)
    updates = orthogonalize(torch.lerp(gradients, averages, momentum), dtype)
    return updates * max(1.0, gradients.size(-2) / gradients.size(-1)) ** 0.5, averages


class Muon(Optimizer):
    """Muon over matrices at one rate. Those of one shape are stacked and orthogonalised together.

    `weight_decay` is decoupled: a step first shrinks each matrix by lr * weight_decay. `dtype` is that of the
    iteration. The ranks of `world` share the matrices: each keeps the averages of its own, orthogonalises those
    and passes on the updates. Raises ValueError for a parameter that is not a matrix.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.bfloat16,
        world: World = ALONE,
    ) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            if matrix.ndim != 2:
                raise ValueError(f"Muon is for matrices, not for a parameter of shape {tuple(matrix.shape)}")
            by_shape.setdefault(matrix.shape, []).append(matrix)
        super().__init__(Group(alike, lr) for alike in by_shape.values())
        self.momentum, self.weight_decay, self.dtype, self.world = momentum, weight_decay, dtype, world
        for group in self.groups:
            group.remember("average")

    def move(self, parameters: list[Tensor], memory: Memory, lr: float) -> None:
        gradients = torch.stack(self.world.share([p.grad for p in parameters if p.grad is not None]))
        averages = self.world.share(memory["average"])
        updates, moved = muon_update(gradients, torch.stack(averages), self.momentum, self.dtype)
        torch._foreach_copy_(averages, list(moved))
        updates = self.world.gather(updates, len(parameters))
        torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
        torch._foreach_add_(parameters, list(updates), alpha=-lr)

    def state_dict(self) -> list[Memory]:
        """The averages of all ranks, equal on each: all must call it together."""
        for group in self.groups:
            averages = group.memory["average"]
            own = torch.stack(self.world.share(averages))
            torch._foreach_copy_(averages, list(self.world.gather(own, len(averages))))
        return super().state_dict()
