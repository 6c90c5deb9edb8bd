"""What a diagnosis of a run needs: how large the gradients and the updates are in each part of the model.

A few updates of a run are looked at, one in ten at most. Nothing here moves a weight, and nothing waits for the device
before the curves are read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

MOST = 24  # updates looked at in a run; together they cost less than 1 % of it
SPACING = 10
LARGEST = 3e38  # what is written of a norm that is not finite, so that it stays JSON


def watched_steps(steps: int, eval_every: int) -> frozenset[int]:
    """The updates, counted from 1, that are looked at: before evaluations, and evenly spread from first to last."""
    count = max(2, min(MOST, steps // SPACING))
    evaluations = range(eval_every, steps, eval_every)
    evaluations = evaluations[:: -(-len(evaluations) // (count // 2)) or 1]
    spread = max(2, count - len(evaluations))
    return frozenset(evaluations) | {1 + round(i * (steps - 1) / (spread - 1)) for i in range(spread)}


def group_of(name: str, parameter: Tensor) -> str:
    """The part of the model that a parameter belongs to; blocks are counted from 1."""
    block = re.match(r"blocks\.(\d+)\.(attention|feed_forward)\.", name)
    if parameter.ndim < 2:
        return "gains"
    if block:
        return f"{block[2].replace('_', '-')} {int(block[1]) + 1}"
    return {"embedding.weight": "embedding", "head.weight": "head"}.get(name, "other")


@dataclass
class Curves:
    """By the step of each update that was looked at: multipliers of the learning rates, and by group two norms.

    `gradient_norms` are those of the whole batch's gradient before it is clipped. `update_norms` are those of the
    change of the weights, over that of the weights after it.
    """

    steps: list[int] = field(default_factory=list)
    multipliers: list[float] = field(default_factory=list)
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    update_norms: dict[str, list[float]] = field(default_factory=dict)


class Diagnosis:
    """Looks at a model before and after some of its updates; a run that goes on sets the `curves` that it has."""

    def __init__(self, model: nn.Module, steps: Iterable[int]) -> None:
        named = dict(model.named_parameters())
        groups = [group_of(name, parameter) for name, parameter in named.items()]
        self.groups, self.steps = list(dict.fromkeys(groups)), frozenset(steps)
        self.parameters: list[Tensor] = list(named.values())
        self.places = torch.tensor([self.groups.index(group) for group in groups], device=self.parameters[0].device)
        self.curves = Curves()
        self.before: list[Tensor] = []  # the weights before an update that is looked at, and none between them
        self.unread: list[tuple[int, float, Tensor]] = []

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Measures the gradients of an update, and remembers the weights, if it is one of those to be looked at."""
        if step in self.steps:
            empty = torch.zeros(1, device=self.places.device)
            self.gradients = self.norms([empty if p.grad is None else p.grad for p in self.parameters])
            self.before = [p.clone() for p in self.parameters]

    @torch.no_grad()
    def look_again(self, step: int, multiplier: float) -> None:
        """Measures what the update has changed since `look`."""
        if self.before:
            torch._foreach_sub_(self.before, self.parameters)
            moved = self.norms(self.before) / self.norms(self.parameters).clamp_min(1 / LARGEST)
            self.unread.append((step, multiplier, torch.stack([self.gradients, moved])))
            self.before = []

    def norms(self, tensors: list[Tensor]) -> Tensor:
        """[groups] float32: the norm over all tensors of each group, one tensor for each parameter."""
        squares = torch.stack([norm.float() for norm in torch._foreach_norm(tensors)]).square()
        return squares.new_zeros(len(self.groups)).index_add(0, self.places, squares).sqrt()

    def read(self) -> Curves:
        """All that was measured so far; waits for the device."""
        for step, multiplier, measured in self.unread:
            self.curves.steps.append(step)
            self.curves.multipliers.append(multiplier)
            gradients, moved = measured.nan_to_num(LARGEST, LARGEST).tolist()
            for group, gradient, move in zip(self.groups, gradients, moved, strict=True):
                self.curves.gradient_norms.setdefault(group, []).append(gradient)
                self.curves.update_norms.setdefault(group, []).append(move)
        self.unread.clear()
        return self.curves
