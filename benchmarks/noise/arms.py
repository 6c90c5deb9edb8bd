"""The arms of the noise study: what is trained at every seed."""

from __future__ import annotations

from dataclasses import dataclass, field

OTHER = 1_000_000
"""Added to a seed it gives another one that no other run of the study has."""
SHARES = (0.05, 0.1, 0.2)
"""Last parts of a run over which its weights are averaged."""


@dataclass(frozen=True)
class Arm:
    """How its runs differ from the base's of the same seed: settings times a factor, seeds plus a number."""

    scaled: dict[str, float] = field(default_factory=dict)
    init: int = 0
    order: int = 0
    every: int = 1  # of so many seeds, one is run


ARMS = {
    "base": Arm(),
    "twin": Arm({"muon_lr": 1 + 1e-6}),  # the paired null: a change as small as rounding
    "order": Arm(order=OTHER, every=3),
    "init": Arm(init=OTHER, every=3),
    "decay": Arm({"muon_weight_decay": 2.0}, every=3),
    "rope": Arm({"rope_base": 2.0}, every=3),
}
