"""What every optimizer here has: groups of parameters, their rates, and what is remembered of each parameter.

torch.optim.Optimizer does the same, but imports torch's compiler when it is first used: a second of a run of ten.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Memory = dict[str, list[Tensor]]  # by what is remembered: a tensor for each parameter


@dataclass
class Group:
    """Parameters that move together at one rate, and what their optimizer remembers of them."""

    parameters: list[Tensor]
    peak_lr: float
    lr: float = field(init=False)
    memory: Memory = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lr = self.peak_lr

    def remember(self, *names: str) -> None:
        """Starts a memory of zeros for each name."""
        self.memory = {name: [torch.zeros_like(parameter) for parameter in self.parameters] for name in names}


class Optimizer(ABC):
    """Moves the parameters of its groups along their gradients."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = [group for group in groups if group.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter that has a gradient; the others stay, and so does their memory."""
        for group in self.groups:
            moving = [i for i, parameter in enumerate(group.parameters) if parameter.grad is not None]
            if moving:
                memory = {name: [tensors[i] for i in moving] for name, tensors in group.memory.items()}
                self.move([group.parameters[i] for i in moving], memory, group.lr)

    @abstractmethod
    def move(self, parameters: list[Tensor], memory: Memory, lr: float) -> None:
        """Updates parameters that have gradients, and their memory, in place."""

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None

    def set_multiplier(self, multiplier: float) -> None:
        """Sets every rate to its peak times `multiplier`."""
        for group in self.groups:
            group.lr = group.peak_lr * multiplier

    def state_dict(self) -> list[Memory]:
        """The memory of each group, as plain containers of tensors."""
        return [group.memory for group in self.groups]

    def load_state_dict(self, state: list[Memory]) -> None:
        """Takes over what `state_dict` gave. Raises ValueError where groups, names or shapes differ."""
        for group, memory in zip(self.groups, state, strict=True):
            for name, tensors in group.memory.items():
                for mine, theirs in zip(tensors, memory.get(name, []), strict=True):
                    if mine.shape != theirs.shape:
                        raise ValueError(f"{name} has shape {tuple(theirs.shape)}, not {tuple(mine.shape)}")
                    mine.copy_(theirs)
